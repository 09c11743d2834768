"""What the files of a tracker read and write of it: `sharing`, `overlap` and `state` see a `Tracker` as this."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from streamer.speakers.boundaries import SpeechBoundaries
from streamer.speakers.candidates import Candidates, Guests
from streamer.speakers.profiles import Roster
from streamer.speakers.settings import TrackerSettings
from streamer.speakers.turn import Piece, Turn


class Stateful(Protocol):
    """A part that writes down its own state, and takes it back."""

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any]) -> None: ...


class TrackerState(Protocol):
    """A `streamer.speakers.tracker.Tracker`, seen from its own files."""

    settings: TrackerSettings
    candidates: Candidates
    turn: Turn | None
    turns: int
    heard_sample: int
    boundaries: SpeechBoundaries
    speech_start: int
    last_end: int | None
    belief: NDArray[np.float64]
    recent: deque[Piece]

    @property
    def sharing(self) -> Iterable[TrackerState]: ...

    @property
    def overlaps(self) -> Stateful: ...

    @property
    def roster(self) -> Roster: ...

    @property
    def guests(self) -> Guests: ...

    def score(self, stretch: tuple[int, int], name: str) -> float: ...

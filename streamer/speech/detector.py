"""The engine's interface to a speech detector that runs beside the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import Samples

#: "head": the network's own; "silero": silero-vad; "off": every frame counts as speech; "auto": the head if the
#: network has one, else silero.
SpeechChoice = Literal["auto", "head", "silero", "off"]


class SpeechState(Protocol):
    """The state of a detector for one stream."""

    def at(self, samples: NDArray[np.int64]) -> NDArray[np.float32]:
        """Speech probability (n,) at these positions, which have been processed and are at most a step old."""
        ...

    def skip(self, to_sample: int) -> None:
        """Audio up to `to_sample` is missing: start again there."""
        ...

    @property
    def nbytes(self) -> int: ...

    def snapshot(self) -> Mapping[str, Any]:
        """All of the state, for `streamer.snapshot.pack`."""
        ...

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Restore the state from a snapshot."""
        ...


class SpeechDetector(Protocol):
    """Detects speech in many streams at once."""

    def new_state(self) -> SpeechState: ...

    def hear(self, states: Sequence[Any], blocks: Sequence[Samples]) -> None:
        """Take the next samples (n,) of each stream."""
        ...

"""What the engine asks of a speech detector that hears the samples beside the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import Samples

#: "head": the network's own; "silero": silero-vad; "off": every frame counts as speech; "auto": the head, where the
#: network has one, else silero.
SpeechChoice = Literal["auto", "head", "silero", "off"]


class SpeechState(Protocol):
    """The state of a detector for one stream."""

    def at(self, samples: NDArray[np.int64]) -> NDArray[np.float32]:
        """Speech probability (n,) at each of these positions, which were heard and are at most a step old."""
        ...

    def skip(self, to_sample: int) -> None:
        """Nothing is known up to `to_sample`: begin again there."""
        ...

    @property
    def nbytes(self) -> int: ...

    def snapshot(self) -> Mapping[str, Any]:
        """All of the state, for `streamer.snapshot.pack`."""
        ...

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on where the state was that gave the snapshot."""
        ...


class SpeechDetector(Protocol):
    """Detects speech in many streams at once."""

    def new_state(self) -> SpeechState: ...

    def hear(self, states: Sequence[Any], blocks: Sequence[Samples]) -> None:
        """Take the next samples (n,) of each stream."""
        ...

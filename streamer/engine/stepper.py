"""What the ways of computing (`cached`, `recompute`, and those of one family) have in common."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import Samples
from streamer.engine.settings import WindowSettings
from streamer.engine.sliding import Record, merge_into, moments_of
from streamer.engine.state import Arrays
from streamer.engine.window import Step, Window
from streamer.models.grid import FrameGrid
from streamer.speech.detector import SpeechState

#: A window that is not complete yet is reported once it holds this much speech, or its own length where that is less.
PARTIAL_SPEECH_S = 1.0


@dataclass(frozen=True, slots=True)
class NewFrames:
    """What one stream gained: frames from `first` on, the speech probability of each, their pooled moments, and the
    probability that more than one speaks, or None where nobody tells."""

    first: int
    speech: NDArray[np.float32]
    block: Record | None
    overlap: NDArray[np.float32] | None = None


class StreamState(Protocol):
    """The engine's state of one stream, which stands after `position` samples."""

    position: int
    speech: SpeechState | None

    @property
    def next_frame(self) -> int:
        """The first frame, on the stream's grid, that has not been computed."""
        ...

    @property
    def nbytes(self) -> int: ...

    def hear(self, samples: Samples) -> None: ...

    def restart(self, sample: int) -> None:
        """Go on at a later sample, with nothing carried over; where frames are kept, windows keep those before it."""
        ...

    def values(self) -> Mapping[str, Any]: ...

    def arrays(self) -> Arrays: ...

    def restore(self, values: Mapping[str, Any], arrays: Arrays) -> None: ...


class Stepper(Protocol):
    """One way of computing, for many streams at once. States go in as `new` made them.

    step_unit: samples of which a stream's step must be a multiple.
    """

    step_unit: int

    def new(self, settings: WindowSettings, speech: SpeechState | None) -> Any: ...

    def advance(self, streams: Sequence[Any]) -> list[NewFrames]:
        """Compute what the samples heard since the last call make possible."""
        ...

    def windows(self, streams: Sequence[Any]) -> list[list[Window]]:
        """The windows of each stream that end where it stands."""
        ...


@dataclass(slots=True)
class StepTally:
    """What the present step of a stream has gathered: level, frames' speech and overlap, moments."""

    start_sample: int
    first_frame: int
    heard: int = 0
    energy: float = 0.0
    speech: list[NDArray[np.float32]] = field(default_factory=list)
    block: Record | None = None
    overlap: list[NDArray[np.float32]] = field(default_factory=list)

    def hear(self, samples: Samples) -> None:
        self.heard += len(samples)
        self.energy += float(np.dot(samples, samples))

    def add(self, new: NewFrames) -> None:
        if new.speech.size:
            if not self.speech:
                self.first_frame = new.first
            # Frames that a short gap inside of the step took: nobody heard speech in them.
            missing = new.first - self.first_frame - sum(map(len, self.speech))
            silence = [np.zeros(missing, np.float32)] if missing > 0 else []
            self.speech += [*silence, new.speech]
            self.overlap += [] if new.overlap is None else [*silence, new.overlap]
        if new.block is not None:
            if self.block is None:
                self.block = new.block
            else:
                merge_into(self.block, new.block)

    def step(self, end_sample: int, grid: FrameGrid, detected: bool, windows: Sequence[Window], partial: bool) -> Step:
        power = self.energy / self.heard if self.heard else 0.0
        return Step(
            start_sample=self.start_sample,
            end_sample=end_sample,
            windows=tuple(windows),
            grid=grid,
            first_frame=self.first_frame,
            speech=np.concatenate([_NO_FRAMES, *self.speech]) if detected else None,
            overlap=np.concatenate(self.overlap) if self.overlap else None,
            block=None if self.block is None else moments_of(self.block),
            level_db=10 * math.log10(power) if power > 0 else -math.inf,
            partial=partial,
        )

    def values(self) -> dict[str, Any]:
        scalars = {"start_sample": self.start_sample, "first_frame": self.first_frame}
        return {"tally": {**scalars, "heard": self.heard, "energy": self.energy, "pooled": self.block is not None}}

    def arrays(self) -> dict[str, NDArray[Any]]:
        block = _NO_FRAMES if self.block is None else self.block
        speech, overlap = (np.concatenate([_NO_FRAMES, *some]) for some in (self.speech, self.overlap))
        return {"tally.speech": speech, "tally.overlap": overlap, "tally.block": block}

    @classmethod
    def restored(cls, values: Mapping[str, Any], arrays: Arrays) -> StepTally:
        tally = values["tally"]
        return cls(
            tally["start_sample"],
            tally["first_frame"],
            tally["heard"],
            tally["energy"],
            [arrays["tally.speech"]] if arrays["tally.speech"].size else [],
            arrays["tally.block"] if tally["pooled"] else None,
            [arrays["tally.overlap"]] if arrays["tally.overlap"].size else [],
        )


_NO_FRAMES = np.zeros(0, np.float32)


def reportable(partial: bool, speech_s: float, duration_s: float) -> bool:
    """Whether a window is reported: when complete, or when it holds enough speech already."""
    return not partial or speech_s >= min(PARTIAL_SPEECH_S, duration_s)

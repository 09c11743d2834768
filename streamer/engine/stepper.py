"""The interface that all ways of computing share: `cached`, `recompute`, and those of one family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from streamer.engine.heard import HeardBatch
from streamer.engine.settings import WindowSettings
from streamer.engine.window import Step
from streamer.errors import StreamerError, StreamFailed
from streamer.speech.detector import SpeechState

#: A window that is not complete yet is reported once it holds this much speech, or its own length where that is less.
PARTIAL_SPEECH_S = 1.0


class StreamState(Protocol):
    """The engine's state of one stream, which stands after `position` samples."""

    position: int
    speech: SpeechState | None

    @property
    def nbytes(self) -> int: ...

    def snapshot(self) -> Mapping[str, Any]:
        """All of it, for `streamer.snapshot.pack`."""
        ...

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on where the state of a stream with these settings was. Raises a KeyError, ValueError, TypeError,
        AttributeError, IndexError, OverflowError or RuntimeError for what no such stream gave."""
        ...


class Stepper(Protocol):
    """One way of computing, for many streams at once. States go in as `new` made them.

    step_unit: samples of which a stream's step must be a multiple.
    """

    step_unit: int

    @property
    def device(self) -> torch.device: ...

    def new(self, settings: WindowSettings, speech: SpeechState | None) -> Any: ...

    def positions(self, states: Sequence[Any]) -> NDArray[np.int64]:
        """Where streams stand, (streams,), in samples."""
        ...

    def step(self, heard: HeardBatch, detected: bool) -> list[Step | StreamerError | None]:
        """Compute what new samples make possible. Returns for each stream its step if one is complete, the error if the
        stream cannot go on, else None. detected: whether a speech detector runs."""
        ...


@dataclass(slots=True)
class StepTally:
    """What the present step of a stream has gathered: level, and what the heads say of its frames, (frames, K) each."""

    start_sample: int
    first_frame: int
    heard: int = 0
    energy: float = 0.0
    heads: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, first: int, heads: NDArray[np.float32]) -> None:
        """Frames from `first` on."""
        if not len(heads):
            return
        if not self.heads:
            self.first_frame = first
        # Frames that a short gap inside of the step took: nobody heard speech in them.
        missing = first - self.first_frame - sum(map(len, self.heads))
        self.heads += [np.zeros((missing, heads.shape[1]), np.float32), heads] if missing > 0 else [heads]

    @property
    def nbytes(self) -> int:
        return sum(heads.nbytes for heads in self.heads)

    def snapshot(self) -> dict[str, Any]:
        return {
            "start_sample": self.start_sample,
            "first_frame": self.first_frame,
            "heard": self.heard,
            "energy": self.energy,
            "heads": np.concatenate(self.heads) if self.heads else None,
        }

    @classmethod
    def restored(cls, snapshot: Mapping[str, Any]) -> StepTally:
        heads = snapshot["heads"]
        return cls(**{**snapshot, "heads": [] if heads is None else [heads]})


def level_db(energy: NDArray[np.float64], heard: NDArray[np.int64]) -> NDArray[np.float64]:
    """Root mean square level of samples, from the sum of their squares and their number, dB below full scale."""
    with np.errstate(divide="ignore"):
        levels: NDArray[np.float64] = 10 * np.log10(energy / np.maximum(heard, 1))
    return levels


def not_finite(position: int) -> StreamFailed:
    """The error for a stream whose windows are not finite."""
    return StreamFailed(
        f"the window that ends at sample {position} has no finite embedding: its stream's state is broken; "
        "open a new one."
    )


def reportable(
    partial: NDArray[np.bool_], speech_s: NDArray[np.float64], duration_s: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which windows are reported: those that are complete, or hold enough speech already."""
    found: NDArray[np.bool_] = ~partial | (speech_s >= np.minimum(PARTIAL_SPEECH_S, duration_s))
    return found

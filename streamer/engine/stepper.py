"""The interface of all steppers: `cached`, `recompute`, and those for a single family."""

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

#: A window that is still incomplete is reported once it holds this much speech, or its own length if that is shorter.
PARTIAL_SPEECH_S = 1.0


class StreamState(Protocol):
    """The engine's state of one stream, which has reached sample `position`."""

    position: int
    speech: SpeechState | None

    @property
    def nbytes(self) -> int: ...

    def snapshot(self) -> Mapping[str, Any]:
        """The whole state, for `streamer.snapshot.pack`."""
        ...

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Continue from the state of a stream with these settings. Raises KeyError, ValueError, TypeError,
        AttributeError, IndexError, OverflowError or RuntimeError if the state is not from such a stream.
        """
        ...


class Stepper(Protocol):
    """Computes the steps of many streams at once, in one mode. All states come from `new`.

    step_unit: a stream's step must be a multiple of this number of samples.
    """

    step_unit: int

    @property
    def device(self) -> torch.device: ...

    def new(self, settings: WindowSettings, speech: SpeechState | None) -> Any: ...

    def positions(self, states: Sequence[Any]) -> NDArray[np.int64]:
        """The positions of streams, (streams,), in samples."""
        ...

    def step(self, heard: HeardBatch, detected: bool) -> list[Step | StreamerError | None]:
        """Compute whatever new samples allow. Returns for each stream its step if one is complete, the error if the
        stream cannot continue, else None. detected: whether a speech detector runs.
        """
        ...


@dataclass(slots=True)
class StepTally:
    """The data of a stream's current step so far: level, and the outputs of the heads, (frames, K) each."""

    start_sample: int
    first_frame: int
    heard: int = 0
    energy: float = 0.0
    heads: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, first: int, heads: NDArray[np.float32]) -> None:
        """Add frames from `first` on."""
        if not len(heads):
            return
        if not self.heads:
            self.first_frame = first
        # Frames lost to a short gap inside the step count as no speech.
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
    """Root mean square level of samples, dB below full scale, from the sum of their squares and their number."""
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
    """Which windows to report: those that are complete, or already hold enough speech."""
    found: NDArray[np.bool_] = ~partial | (speech_s >= np.minimum(PARTIAL_SPEECH_S, duration_s))
    return found

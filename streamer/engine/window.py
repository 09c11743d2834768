"""The engine's results for a stream, step by step."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import SAMPLE_RATE
from streamer.models.grid import FrameGrid
from streamer.models.pooling import Moments

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Window:
    """The embedding of one window of a stream.

    start_sample, end_sample: the samples that were used, which begin less than a stride after the window's nominal
        start.
    duration_s: the requested length, which tells windows of several lengths apart.
    embedding: (dimension,) float32, not normalised.
    speech_s: seconds of speech in the window; its whole length if no speech detector runs.
    partial: the window holds less than `duration_s`, at the start of a stream, after a gap, or at the end.
    """

    start_sample: int
    end_sample: int
    duration_s: float
    embedding: Vector = field(repr=False)
    speech_s: float
    partial: bool = False

    @property
    def start(self) -> float:
        """Seconds from the stream's start."""
        return self.start_sample / SAMPLE_RATE

    @property
    def end(self) -> float:
        """Seconds from the stream's start."""
        return self.end_sample / SAMPLE_RATE

    @property
    def speech(self) -> float:
        return self.speech_s


@dataclass(frozen=True, slots=True)
class Step:
    """All results for one step of a stream: the samples [start_sample, end_sample).

    windows: those that end here, one for each requested duration, shortest first; windows with too little audio or
        speech for an embedding are left out.
    grid: the clock of the model's frames: which samples a frame sees, and which sound it represents.
    speech: (frames,) float32, the speech probability of each new frame; None if no speech detector runs. The new
        frames are consecutive: `first_frame`, `first_frame + 1`, ... on the grid, and lag the samples by its receptive
        field. Frames lost to a short gap inside the step count as no speech.
    block: pooled moments of the new frames (numpy, weighted by speech), to pool a whole turn from; None in `exact`
        mode, and if no frame was completed.
    level_db: root mean square level of the new samples, dB below full scale (-inf for digital silence).
    partial: the stream or its audio before a gap ended before the step did.
    lag_s: seconds from the arrival of the step's last sample to this result; 0 if it was not measured.
    overlap: (frames,) float32, the probability that more than one speaks in each new frame; None if the model has no
        such output, or no frame was completed.
    skipped: how many steps were left out before this one, because the worker was behind.
    """

    start_sample: int
    end_sample: int
    windows: tuple[Window, ...]
    grid: FrameGrid
    first_frame: int
    speech: Vector | None = field(repr=False)
    block: Moments[Vector] | None = field(repr=False)
    level_db: float
    partial: bool = False
    lag_s: float = 0.0
    skipped: int = 0
    overlap: Vector | None = field(default=None, repr=False)

    @property
    def speech_s(self) -> float | None:
        """Seconds of speech in the new frames; None if no speech detector runs."""
        return None if self.speech is None else self.grid.seconds(float(self.speech.sum()))

    @property
    def num_frames(self) -> int:
        """The number of new frames."""
        if self.speech is not None:
            return len(self.speech)
        return max(0, self.grid.end_frame(self.end_sample) - self.first_frame)

"""What the engine says of a stream, step by step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import SAMPLE_RATE
from streamer.models.architecture import FRAME_GRID
from streamer.models.pooling import Moments

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Window:
    """The embedding of one window of a stream.

    start_sample, end_sample: the samples that were used, which begin up to 269 after the window's nominal start.
    duration_s: the length asked for, by which windows of several lengths are told apart.
    embedding: (dimension,) float32, not normalised.
    speech_s: seconds of speech in the window; its whole length where no speech detector runs.
    partial: the window holds less than `duration_s`, at the start of a stream, after a gap, or at the end.
    """

    start_sample: int
    end_sample: int
    duration_s: float
    embedding: Vector
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
    """All that the engine says of one step of a stream: the samples [start_sample, end_sample).

    windows: those that end here, one for each duration asked for, shortest first; without those that hold too little
        audio or speech to be embedded.
    speech: (frames,) float32, the speech probability of each new frame; None where no speech detector runs. The new
        frames are consecutive: `first_frame`, `first_frame + 1`, ... on the grid of the model (frame i sees the samples
        from 270 * i on; its centre is `270 * i + 2385`), and lag the samples by their receptive field (0.3 s). Those
        that a short gap inside of the step took have none.
    block: pooled moments of the new frames alone (numpy, speech-weighted), to pool a whole turn from; None in `exact`
        mode, and where no frame was completed.
    level_db: root mean square level of the new samples, dB below full scale (-inf for digital silence).
    partial: the stream or its audio before a gap ended before the step did.
    lag_s: seconds from the arrival of the step's last sample to this result; 0 where nobody measured it.
    skipped: how many steps were left out just before this one, because the worker had fallen behind.
    """

    start_sample: int
    end_sample: int
    windows: tuple[Window, ...]
    first_frame: int
    speech: Vector | None
    block: Moments[Vector] | None
    level_db: float
    partial: bool = False
    lag_s: float = 0.0
    skipped: int = 0

    @property
    def speech_s(self) -> float | None:
        """Seconds of speech among the new frames, or None where no speech detector runs."""
        return None if self.speech is None else float(self.speech.sum()) * FRAME_GRID.stride / SAMPLE_RATE

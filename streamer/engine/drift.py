"""Measures how far the cached approximation of a model with window norms deviates from exact mode, and what it
saves."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import Samples
from streamer.engine.incremental import IncrementalModel
from streamer.engine.settings import Mode
from streamer.errors import AudioTooShort, ConfigurationError
from streamer.models.model import Model


@dataclass(frozen=True, slots=True)
class Drift:
    """The drift for one recording.

    cosines: (windows,) between the cached and exact embedding of each window. speedup: the time of exact mode divided
    by that of cached mode, for the same audio.
    """

    cosines: NDArray[np.float32]
    exact_s: float
    cached_s: float

    @property
    def speedup(self) -> float:
        return self.exact_s / self.cached_s


def measure_drift(model: Model, samples: Samples, name: str, duration_s: float = 3.0, step_s: float = 1.0) -> Drift:
    """Compare both modes on samples (n,) at 16 kHz; `name` identifies the recording in messages.

    Raises ConfigurationError for a model without window norms, AudioTooShort if there is no complete window.
    """
    if model.architecture.frame_local:
        raise ConfigurationError(
            f"{model.card.name!r} has no window norms: its cached mode is exact, there is no drift to measure."
        )
    exact, exact_s = _embeddings(model, "exact", samples, (duration_s,), step_s)
    cached, cached_s = _embeddings(model, "cached", samples, (duration_s,), step_s)
    if len(exact) == 0:
        raise AudioTooShort(
            f"{name!r} has {len(samples) / model.sample_rate:.2f} s of audio; a window needs {duration_s} s."
        )
    return Drift((exact * cached).sum(axis=1), exact_s, cached_s)


def _embeddings(
    model: Model, mode: Mode, samples: Samples, durations: Sequence[float], step_s: float
) -> tuple[NDArray[np.float32], float]:
    """Unit embeddings of the complete windows, and the seconds taken."""
    engine = IncrementalModel(model, mode, speech="off")
    engine.open(durations, step_s).push(samples[: round(2 * step_s * model.sample_rate)])  # first steps are slower
    stream = engine.open(durations, step_s)
    started = time.perf_counter()
    steps = stream.push(samples)
    elapsed = time.perf_counter() - started
    found = [window.embedding for step in steps for window in step.windows if not window.partial]
    embeddings = np.array(found, np.float32).reshape(len(found), model.dimension)
    return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True), elapsed

"""Samples to step, and what comes out of them compared."""

from __future__ import annotations

import numpy as np
import pytest

from streamer.audio.chunks import SAMPLE_RATE as RATE
from streamer.engine.window import Step, Window


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise whose level and colour wander, so that neighbouring windows differ."""
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal(round(seconds * RATE))
    swell = 0.05 + 0.04 * np.sin(np.arange(len(samples)) / RATE * rng.uniform(2, 5))
    return (np.convolve(samples, rng.standard_normal(9), "same") * swell).astype(np.float32)


def windows_of(steps: list[Step]) -> list[Window]:
    return [window for step in steps for window in step.windows]


def placed(windows: list[Window]) -> list[tuple[int, int, float, bool]]:
    return [(window.start_sample, window.end_sample, window.duration_s, window.partial) for window in windows]


def deviation(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max() / np.abs(other).max())


def assert_same(found: list[Step], expected: list[Step], tolerance: float = 1e-5) -> None:
    assert [(step.start_sample, step.end_sample) for step in found] == [
        (step.start_sample, step.end_sample) for step in expected
    ]
    assert placed(windows_of(found)) == placed(windows_of(expected))
    for one, other in zip(windows_of(found), windows_of(expected), strict=True):
        assert deviation(one.embedding, other.embedding) < tolerance
    for step, same in zip(found, expected, strict=True):
        assert step.level_db == pytest.approx(same.level_db)
        np.testing.assert_allclose(step.speech, same.speech, atol=1e-5) if same.speech is not None else None

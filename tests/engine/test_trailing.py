"""The approximation for models with window norms: close to exact on steady audio, and free of chunking all the same."""

from __future__ import annotations

import numpy as np
import pytest

from streamer.audio.chunks import SAMPLE_RATE as RATE
from streamer.engine.drift import measure_drift
from streamer.engine.incremental import IncrementalModel
from streamer.engine.window import Step
from streamer.errors import AudioTooShort, ConfigurationError


def embeddings(steps: list[Step]) -> np.ndarray:
    found = np.stack([window.embedding for step in steps for window in step.windows if not window.partial])
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def samples(voice):
    return np.tile(voice[0], 2)[: 7 * RATE]


def test_it_is_off_unless_asked_for(pyannote_model):
    assert IncrementalModel(pyannote_model, speech="off").mode == "exact"


def test_it_stays_close_to_exact_and_is_not_exact(pyannote_model, samples):
    exact = embeddings(IncrementalModel(pyannote_model, speech="off").open((3.0,), 1.0).push(samples))
    cached = embeddings(IncrementalModel(pyannote_model, "cached", speech="off").open((3.0,), 1.0).push(samples))

    cosines = (exact * cached).sum(axis=1)
    assert cosines.min() > 0.98
    assert cosines.max() < 1 - 1e-7


def test_drift_is_measured_on_the_users_audio(pyannote_model, local_model, samples):
    found = measure_drift(pyannote_model, samples, "voice.wav")

    exact = embeddings(IncrementalModel(pyannote_model, speech="off").open((3.0,), 1.0).push(samples))
    cached = embeddings(IncrementalModel(pyannote_model, "cached", speech="off").open((3.0,), 1.0).push(samples))
    np.testing.assert_allclose(found.cosines, (exact * cached).sum(axis=1), atol=1e-5)
    assert found.speedup == pytest.approx(found.exact_s / found.cached_s)
    with pytest.raises(ConfigurationError, match="no drift"):
        measure_drift(local_model, samples, "voice.wav")
    with pytest.raises(AudioTooShort, match=r"'clip.wav' has 1.00 s"):
        measure_drift(pyannote_model, samples[:RATE], "clip.wav")


def test_any_chunking_and_a_restore_give_the_same(pyannote_model, samples):
    engine = IncrementalModel(pyannote_model, "cached", speech="off")
    expected = embeddings(engine.open((1.0,), 0.5).push(samples[:50_000]))

    stream = engine.open((1.0,), 0.5)
    steps = [step for start in range(0, 20_000, 777) for step in stream.push(samples[start : min(start + 777, 20_000)])]
    stream = engine.restore(stream.snapshot())
    steps += stream.push(samples[20_000:50_000])

    np.testing.assert_allclose(embeddings(steps), expected, atol=1e-5)


def test_streams_with_other_windows_in_the_batch_do_not_matter(pyannote_model, samples):
    engine = IncrementalModel(pyannote_model, "cached", speech="off")
    short, long = engine.open((1.0,), 0.5), engine.open((3.0,), 0.5)
    found: dict[int, list[Step]] = {0: [], 1: []}

    for blocks in zip(short.cut(samples), long.cut(samples), strict=True):
        for place, step in enumerate(engine.step(blocks)):
            found[place] += [step] if isinstance(step, Step) else []

    for place, duration in enumerate((1.0, 3.0)):
        alone = engine.open((duration,), 0.5).push(samples)
        for one, other in zip(found[place], alone, strict=True):
            for window, same in zip(one.windows, other.windows, strict=True):
                np.testing.assert_allclose(window.embedding, same.embedding, atol=1e-4 * np.abs(same.embedding).max())

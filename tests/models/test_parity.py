"""The same weights give pyannote.audio's own embeddings; the golden vectors are from tests/golden/make_golden.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import seeded
import torch

from streamer import Inference, Segment

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "pyannote.npz")

#: Of the norm of an embedding: float32 sums over thousands of terms, in another order.
TOLERANCE = 1e-4


def assert_same_embeddings(actual: np.ndarray, expected: np.ndarray) -> None:
    assert actual.shape == expected.shape
    assert actual.dtype == np.float32
    error = np.linalg.norm(actual - expected, axis=-1) / np.linalg.norm(expected, axis=-1)
    assert error.max() < TOLERANCE


def recording(num_samples: int) -> dict[str, object]:
    return {"waveform": torch.from_numpy(seeded.seeded_audio(num_samples)), "sample_rate": seeded.SAMPLE_RATE}


@pytest.mark.parametrize("name", seeded.COMPUTED)
def test_the_filterbank_buffers_are_pyannotes(pyannote_model, name):
    ours = pyannote_model.network.state_dict()[f"sincnet.conv1d.0.filterbank.{name}"]
    np.testing.assert_allclose(ours.numpy(), GOLDEN[f"filterbank/{name}"], rtol=1e-6, atol=1e-7)


def test_the_sinc_filters_are_pyannotes(pyannote_model):
    filters = pyannote_model.network.sincnet.filterbank.filters().numpy()[::8]
    np.testing.assert_allclose(filters, GOLDEN["filterbank/filters"], atol=2e-6)


@pytest.mark.parametrize("num_samples", seeded.WHOLE_SAMPLES)
def test_whole_files_embed_as_in_pyannote(pyannote_model, device, num_samples):
    try:
        actual = Inference(pyannote_model, window="whole", device=device)(recording(num_samples))
    finally:
        pyannote_model.to("cpu")
    assert_same_embeddings(actual, GOLDEN[f"whole/{num_samples}"][None])


@pytest.mark.parametrize("name", seeded.SLIDING)
def test_sliding_windows_embed_as_in_pyannote(pyannote_model, name):
    num_samples, duration, step = seeded.SLIDING[name]
    actual = Inference(pyannote_model, window="sliding", duration=duration, step=step)(recording(num_samples))
    assert_same_embeddings(actual.data, GOLDEN[f"sliding/{name}"])
    window = actual.sliding_window
    np.testing.assert_allclose([window.start, window.duration, window.step], GOLDEN[f"sliding/{name}/window"])


@pytest.mark.parametrize("name", seeded.CROPS)
def test_crops_embed_as_in_pyannote(pyannote_model, name):
    segments = [Segment(*span) for span in seeded.CROPS[name]]
    chunk = segments[0] if len(segments) == 1 else segments
    file = recording(seeded.CROP_SAMPLES)
    whole = Inference(pyannote_model, window="whole").crop(file, chunk)
    assert_same_embeddings(whole, GOLDEN[f"crop/{name}"][None])
    sliding = Inference(pyannote_model, window="sliding", duration=3.0, step=1.0).crop(file, chunk)
    assert_same_embeddings(sliding.data, GOLDEN[f"crop-sliding/{name}"])
    assert sliding.sliding_window.start == GOLDEN[f"crop-sliding/{name}/start"]


@pytest.mark.parametrize("name", ["weights", "by_speaker"])
def test_weighted_pooling_is_pyannotes(pyannote_model, name):
    values = {key: torch.from_numpy(value) for key, value in seeded.seeded_pooling().items()}
    actual = pyannote_model(values["waveforms"], values[name]).numpy()
    assert_same_embeddings(actual, GOLDEN[f"pooling/{name}"])

"""The filters against their definition, and what each front end is indifferent to."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from streamer.audio.chunks import SAMPLE_RATE
from streamer.models.architecture import SINC_FILTERS, SINC_TAPS
from streamer.models.sincnet import MIN_BAND_HZ, MIN_LOW_HZ, SincFilterbank, ZeroSumConv1d


def test_filters_are_windowed_differences_of_two_sincs():
    bank = SincFilterbank()
    filters = bank.filters().detach().numpy()[:, 0].astype(np.float64)
    low = MIN_LOW_HZ + bank.low_hz_.detach().numpy().astype(np.float64)
    high = np.clip(low + MIN_BAND_HZ + bank.band_hz_.detach().numpy(), MIN_LOW_HZ, SAMPLE_RATE / 2)
    time = np.arange(-(SINC_TAPS // 2), SINC_TAPS // 2 + 1) / SAMPLE_RATE
    window = np.hamming(SINC_TAPS)
    cos = 2 * high * np.sinc(2 * high * time) - 2 * low * np.sinc(2 * low * time)
    np.testing.assert_allclose(filters[: SINC_FILTERS // 2], window * cos / (2 * (high - low)), atol=3e-5)
    # The other half is the same band a quarter of a period later: its Hilbert transform.
    with np.errstate(invalid="ignore", divide="ignore"):
        sin = (np.cos(2 * np.pi * low * time) - np.cos(2 * np.pi * high * time)) / (np.pi * time)
    sin[:, SINC_TAPS // 2] = 0
    np.testing.assert_allclose(filters[SINC_FILTERS // 2 :], window * sin / (2 * (high - low)), atol=3e-5)


def test_filters_are_made_once_and_again_after_loading():
    bank = SincFilterbank().eval().requires_grad_(False)
    before = bank.filters()
    assert bank.filters() is before
    state = {name: tensor.clone() for name, tensor in bank.state_dict().items()}
    state["low_hz_"] += 100
    bank.load_state_dict(state)
    assert not torch.equal(bank.filters(), before)


def test_filters_follow_their_cutoffs_while_these_learn():
    bank = SincFilterbank().train()
    bank.filters().square().sum().backward()
    assert bank.low_hz_.grad is not None
    assert bank.low_hz_.grad.abs().sum() > 0
    with torch.no_grad():
        bank.low_hz_ += 10
    learned = bank.filters().detach()
    torch.testing.assert_close(bank.eval().filters(), learned)


def test_zero_sum_kernels_cancel_a_constant():
    torch.manual_seed(0)
    layer = ZeroSumConv1d(4, 6, 5)
    inputs = torch.randn(1, 4, 50)
    torch.testing.assert_close(layer(inputs + 7), layer(inputs), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("gain_db", [-30, -6, 12])
def test_no_front_end_hears_the_level(any_model, voice, gain_db):
    samples = torch.from_numpy(voice)[None]
    quiet, loud = any_model(samples), any_model(samples * 10 ** (gain_db / 20))
    cosine = torch.nn.functional.cosine_similarity(quiet, loud)
    # What remains is the power floor and the norms' epsilon, which a gain does not move.
    assert cosine.item() > 0.999


def test_a_power_of_two_of_gain_changes_the_log_front_by_rounding_alone(local_model, voice):
    samples = torch.from_numpy(voice)[None]
    # Noise keeps every band 60 dB above the power floor, so that the gain is a constant in the log domain.
    samples = samples + 0.1 * torch.randn(samples.shape, generator=torch.Generator().manual_seed(0))
    before, after = local_model(samples), local_model(samples * 4)
    assert (torch.linalg.vector_norm(after - before) / torch.linalg.vector_norm(before)).item() < 1e-4


def test_silence_embeds_to_a_finite_vector(any_model):
    for samples in (torch.zeros(1, 1, 48_000), torch.zeros(1, 1, any_model.minimum_samples)):
        assert torch.isfinite(any_model(samples)).all()
    assert torch.isfinite(any_model(torch.full((1, 1, 48_000), 0.5))).all()

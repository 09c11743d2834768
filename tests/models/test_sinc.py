"""Both ways of taking samples through the sinc filterbank give what the plain convolution does."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate

from streamer.models.sinc import POSITION_FIELD, POSITION_STRIDE, SincFilters, grouped
from streamer.models.sincnet import POWER_FLOOR, SincFilterbank

#: From fewer positions than a block of folded windows holds to several blocks.
SHAPES = st.tuples(st.integers(1, 3), st.sampled_from([1, 2, 170, 171, 600]))


def plain(waves: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """(positions, streams, 3, 80) in float64, all positions of each filter computed and most left out again."""
    found = np.array([[correlate(wave, taps, "valid")[::10] for taps in filters] for wave in waves])
    groups = found.shape[2] // 3
    return found[:, :, : 3 * groups].reshape(len(waves), len(filters), groups, 3).transpose(2, 0, 3, 1)


@settings(max_examples=12, deadline=None)
@given(shape=SHAPES, rest=st.integers(0, POSITION_STRIDE - 1), seed=st.integers(0, 99))
def test_folded_and_grouped_are_the_plain_convolution(shape, rest, seed):
    streams, positions = shape
    samples = (positions - 1) * POSITION_STRIDE + POSITION_FIELD + rest
    waves = np.random.default_rng(seed).normal(0, 0.1, (streams, samples)).astype(np.float32)
    bank = SincFilterbank().filters()[:, 0].detach()
    folding, elsewhere = SincFilters(bank), SincFilters(bank)
    elsewhere.grouped = grouped(bank)

    expected = plain(waves.astype(np.float64), bank.double().numpy())[:positions]

    power = np.square(expected).reshape(positions, streams, 6, 40).sum(2) / 3 + POWER_FLOOR
    for way in (folding, elsewhere):
        # Outputs are around one: sums of 251 products in float32.
        assert np.abs(way.filtered(torch.from_numpy(waves)).numpy() - expected).max() < 5e-6
        np.testing.assert_allclose(way.log_power(torch.from_numpy(waves)).numpy(), np.log(power), atol=2e-3)

"""Statistics pooling against its plain definition, and its merging of blocks against doing it at once."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from streamer.models.pooling import Moments, at_frame_rate, statistics_pool

values = st.floats(-100, 100, width=32)


@st.composite
def cut_frames(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Frames (n, 3), weights (n, 1), and where to cut them."""
    count = draw(st.integers(2, 40))
    frames = draw(hnp.arrays(np.float32, (count, 3), elements=values))
    weights = draw(hnp.arrays(np.float32, (count, 1), elements=st.floats(0.0625, 1, width=32)))
    return frames, weights, sorted(draw(st.lists(st.integers(0, count), max_size=6)))


def merged(parts: list[Moments]) -> Moments:
    names = ("weight", "weight2", "mean", "m2")
    return Moments(*(np.stack([getattr(part, name) for part in parts]) for name in names)).merged()


@given(cut_frames())
def test_blocks_merge_to_what_all_frames_give_at_once(case):
    frames, weights, cuts = case
    bounds = [0, *cuts, len(frames)]
    parts = [Moments.of(frames[a:b], weights[a:b]) for a, b in pairwise(bounds)]
    mean, std = merged(parts).statistics()
    expected_mean = np.average(frames.astype(np.float64), axis=0, weights=weights[:, 0])
    np.testing.assert_allclose(mean, expected_mean, rtol=1e-4, atol=2e-3)
    at_once = Moments.of(frames, weights).statistics()
    np.testing.assert_allclose(std, at_once[1], rtol=1e-3, atol=1e-2)


@given(cut_frames())
def test_weighted_moments_are_those_of_the_plain_definition(case):
    frames, weights, _ = case
    std = Moments.of(frames, weights).statistics()[1]
    variance = np.diag(np.cov(frames.astype(np.float64), rowvar=False, aweights=weights[:, 0].astype(np.float64)))
    np.testing.assert_allclose(std, np.sqrt(np.maximum(variance, 0)), rtol=2e-3, atol=2e-3)


def test_merging_keeps_a_small_spread_beside_a_large_mean():
    # A running sum of squares would have to tell 1e6 from 1e6 + 1e-4 in float32.
    random = np.random.default_rng(0)
    frames = (1_000 + 0.01 * random.standard_normal((6_000, 1))).astype(np.float32)
    ones = np.ones((60, 1), np.float32)
    _, std = merged([Moments.of(block, ones) for block in frames.reshape(100, 60, 1)]).statistics()
    np.testing.assert_allclose(std, frames.astype(np.float64).std(axis=0, ddof=1), rtol=2e-2)


def test_weights_of_one_are_no_weights():
    frames = torch.randn(2, 5, 30, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(statistics_pool(frames, torch.ones(2, 30)), statistics_pool(frames))


def test_frames_of_weight_zero_do_not_count():
    frames = torch.randn(1, 5, 30, generator=torch.Generator().manual_seed(0))
    weights = torch.zeros(1, 30)
    weights[:, 10:20] = 1
    torch.testing.assert_close(statistics_pool(frames, weights), statistics_pool(frames[..., 10:20]))


@pytest.mark.parametrize("speaking", [0, 1], ids=["no frame", "one frame"])
def test_too_few_frames_have_finite_statistics(speaking):
    frames = torch.randn(1, 5, 30, generator=torch.Generator().manual_seed(0))
    weights = torch.zeros(1, 30)
    weights[:, :speaking] = 1
    pooled = statistics_pool(frames, weights)
    assert torch.isfinite(pooled).all()
    expected = frames[..., 0] if speaking else torch.zeros(1, 5)
    torch.testing.assert_close(pooled[:, :5], expected)


def test_each_speaker_is_pooled_alone():
    frames = torch.randn(2, 4, 20, generator=torch.Generator().manual_seed(0))
    weights = torch.rand(2, 3, 20, generator=torch.Generator().manual_seed(1))
    pooled = statistics_pool(frames, weights)
    assert pooled.shape == (2, 3, 8)
    for speaker in range(3):
        torch.testing.assert_close(pooled[:, speaker], statistics_pool(frames, weights[:, speaker]))


@given(st.integers(1, 80), st.integers(1, 80))
def test_weights_come_to_the_frame_rate_by_the_nearest_below(count, frames):
    weights = torch.arange(count, dtype=torch.float32).view(1, 1, -1)
    # torch multiplies by the ratio in float32, which may fall just short of a whole number; so pyannote.audio does too.
    found = at_frame_rate(weights, frames).flatten().tolist()
    for index, value in enumerate(found):
        exact = index * count / frames
        assert value in (math.floor(exact), math.floor(exact - 1e-4))

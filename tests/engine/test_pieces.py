"""Both ways of pooling a block give the records of the plain definition."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.engine.layers import Affine
from streamer.engine.pieces import piece_records, pool_on_device
from streamer.engine.sliding import FRAMES, HEADER, SPEECH, WEIGHT, WEIGHT2

CHANNELS = 5


def plain(features: np.ndarray, weights: np.ndarray, speech: np.ndarray, scale: np.ndarray, shift: np.ndarray):  # type: ignore[no-untyped-def]
    """One piece's record in float64; features (frames, channels) before the norm."""
    normed = features * scale + shift
    mean = np.average(normed, axis=0, weights=weights)
    record = np.zeros(HEADER + 2 * CHANNELS)
    record[[WEIGHT, WEIGHT2, FRAMES, SPEECH]] = weights.sum(), (weights**2).sum(), len(weights), speech.sum()
    record[HEADER : HEADER + CHANNELS] = mean
    record[HEADER + CHANNELS :] = (weights[:, None] * (normed - mean) ** 2).sum(0)
    return record


@settings(max_examples=50, deadline=None)
@given(streams=st.integers(1, 3), frames=st.integers(1, 12), count=st.integers(1, 4), seed=st.integers(0, 999))
def test_records_are_those_of_the_plain_definition(streams: int, frames: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.normal(30, 1, (frames, streams, CHANNELS)).astype(np.float32)
    weights, speech = rng.uniform(0.01, 1, (2, streams, frames)).astype(np.float32)
    pieces = np.sort(rng.integers(-1, count, (streams, frames)), axis=1)
    scale, shift = rng.uniform(-2, 2, (2, CHANNELS)).astype(np.float32)
    norm = Affine(torch.from_numpy(scale), torch.from_numpy(shift))
    inputs = (torch.from_numpy(features), torch.from_numpy(weights), torch.from_numpy(speech))

    in_one_pass = piece_records(*inputs, pieces, norm)
    on_device = pool_on_device(*inputs, torch.from_numpy(pieces), in_one_pass.shape[1], norm)

    for stream in range(streams):
        for piece in range(in_one_pass.shape[1]):
            mine = pieces[stream] == piece
            for found in (in_one_pass[stream, piece], on_device[stream, piece]):
                assert found[FRAMES] == mine.sum()
                if mine.any():
                    of_piece = features[mine, stream], weights[stream, mine], speech[stream, mine]
                    expected = plain(*of_piece, scale, shift)
                    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-4)

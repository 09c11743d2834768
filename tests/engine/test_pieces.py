"""Both ways of pooling a block give the records of the plain definition."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.engine.layers import Affine
from streamer.engine.pieces import piece_records
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
@given(streams=st.integers(1, 3), frames=st.integers(1, 12), seed=st.integers(0, 999))
def test_records_are_those_of_the_plain_definition(streams, frames, seed):
    rng = np.random.default_rng(seed)
    features = rng.normal(30, 1, (frames, streams, CHANNELS)).astype(np.float32)
    weights, speech = rng.uniform(0.01, 1, (2, frames, streams)).astype(np.float32)
    # Where its frames begin, where they are of another cell, and where they end; all may be nowhere in the block.
    begins, splits, ends = np.sort(rng.integers(-2, frames + 3, (3, streams)), axis=0).clip(
        [[0], [-2], [0]], frames + 2
    )
    ends = ends.clip(begins, frames)
    scale, shift = rng.uniform(-2, 2, (2, CHANNELS)).astype(np.float32)
    norm = Affine(torch.from_numpy(scale), torch.from_numpy(shift))
    spans = [torch.from_numpy(span) for span in (begins, splits, ends)]
    inputs = [torch.from_numpy(array) for array in (features, weights, speech)]

    in_one_pass, by_tensors = (piece_records(*inputs, spans, norm, compiled).numpy() for compiled in (True, False))

    frame = np.arange(frames)
    for stream in range(streams):
        counts = (frame >= begins[stream]) & (frame < ends[stream])
        for piece, mine in enumerate((counts & (frame < splits[stream]), counts & (frame >= splits[stream]))):
            for found in (in_one_pass[stream, piece], by_tensors[stream, piece]):
                if mine.any():
                    of_piece = features[mine, stream], weights[mine, stream], speech[mine, stream]
                    expected = plain(*of_piece, scale, shift)
                    assert found[FRAMES] == mine.sum()
                    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-4)
                else:
                    assert not found.any()

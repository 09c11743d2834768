"""The last layer in the host's memory says what its modules say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from streamer.models.head import LinearHead
from streamer.models.pooling import Moments

CHANNELS, DIMENSION = 5, 3


DENSE = [nn.Linear(2 * CHANNELS, DIMENSION), nn.Conv1d(2 * CHANNELS, DIMENSION, 1, bias=False)]


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("dense", DENSE, ids=["linear", "convolution"])
def test_a_dense_layer_and_the_norm_behind_it_are_one_head(dense, affine):
    torch.manual_seed(1)
    norm = nn.BatchNorm1d(DIMENSION, affine=affine)
    for tensor in norm.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 2.0)
    frames = torch.randn(4, 9, CHANNELS)
    std = (frames.var(1, correction=1) + 0.01).sqrt()
    pooled = torch.cat([frames.mean(1), std], 1)
    with torch.no_grad():
        output = dense(pooled if isinstance(dense, nn.Linear) else pooled[..., None]).flatten(1)
        expected = norm.eval()(output).numpy()

    head = LinearHead.of(dense, norm, epsilon=0.01)
    moments = Moments.of(frames.numpy(), np.ones((4, 9, 1), np.float32))

    np.testing.assert_allclose(head(moments), expected, atol=1e-5)
    np.testing.assert_allclose(head.batch(moments), expected, atol=1e-5)
    assert head(moments).dtype == np.float32

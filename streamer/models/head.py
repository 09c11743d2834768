"""The last layer: from the pooled moments of frames to embeddings, in the host's memory.

The engine pools frames in blocks, and the tracker pools turns from the blocks of their steps. The head is separate from
the network, so that the tracker can embed a turn without it, on any thread.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from streamer.models.pooling import Moments

Array = NDArray[np.float32]


class Head(Protocol):
    """Embeddings (..., dimension) of moments with (..., channels)."""

    def __call__(self, moments: Moments[Array]) -> Array:
        """Uses the calling thread only. torch's threads synchronise at a barrier: beside a busy engine, work of a tenth
        of a millisecond would wait for milliseconds."""
        ...

    def batch(self, moments: Moments[Array]) -> Array:
        """The same for moments (batch, channels), with torch's threads."""
        ...


class LinearHead:
    """Concatenates mean and standard deviation, and applies one linear layer.

    weight (dimension, 2 * channels), bias (dimension,). epsilon: added to the variance before the square root.
    """

    def __init__(self, weight: Array, bias: Array, epsilon: float = 0.0) -> None:
        self.weight = np.ascontiguousarray(weight)
        self.bias = bias
        self.epsilon = epsilon

    @classmethod
    def of(cls, layer: nn.Linear | nn.Conv1d, norm: nn.BatchNorm1d | None = None, epsilon: float = 0.0) -> LinearHead:
        """A head from a linear layer, or a convolution of one tap; a norm after it is folded in."""
        weight = layer.weight.detach().flatten(1)
        bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach()
        if norm is not None:
            assert norm.running_mean is not None and norm.running_var is not None
            scale = (norm.running_var + norm.eps).rsqrt()
            if norm.affine:
                scale = scale * norm.weight.detach()
            weight, bias = weight * scale[:, None], (bias - norm.running_mean) * scale
            if norm.affine:
                bias = bias + norm.bias.detach()
        return cls(weight.cpu().numpy(), bias.cpu().numpy(), epsilon)

    def __call__(self, moments: Moments[Array]) -> Array:
        # `einsum` has no threads.
        return np.asarray(np.einsum("ij,...j->...i", self.weight, self._pooled(moments)) + self.bias)

    def batch(self, moments: Moments[Array]) -> Array:
        weight, bias = torch.from_numpy(self.weight), torch.from_numpy(self.bias)
        with torch.inference_mode():
            return F.linear(torch.from_numpy(self._pooled(moments)), weight, bias).numpy()

    def _pooled(self, moments: Moments[Array]) -> Array:
        return np.concatenate(moments.statistics(self.epsilon), axis=-1, dtype=np.float32)

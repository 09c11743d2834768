"""InstanceNorm over the blocks of the engine: as scale and shift by stream, from whatever statistics are given."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from streamer.engine.layers import Affine


@dataclass(frozen=True, slots=True)
class InstanceWeights:
    """What an InstanceNorm learned: weight and bias (channels,), and the epsilon of its variance."""

    weight: Tensor
    bias: Tensor
    eps: float

    @classmethod
    def of(cls, norm: nn.Module) -> InstanceWeights:
        assert isinstance(norm, nn.InstanceNorm1d)
        return cls(norm.weight.detach(), norm.bias.detach(), norm.eps)

    def affine(self, mean: Tensor, variance: Tensor) -> Affine:
        """The norm under these statistics, (streams, channels) each; the variance is the biased one."""
        scale = self.weight / (variance + self.eps).sqrt()
        return Affine(scale, self.bias - mean * scale)

    def over_time(self, block: Tensor) -> Tensor:
        """Normalise a block (time, streams, channels) by its own statistics."""
        variance, mean = torch.var_mean(block, dim=0, correction=0)
        return self.affine(mean, variance)(block)


def after_sinc(wave: Affine, filters: Tensor, filtered: Tensor) -> Tensor:
    """The norm of the waveform, (streams, 1), applied to what the sinc filters made of the raw one.

    A convolution is linear: filters * (a x + b) = a (filters * x) + b sum(filters).
    filtered (positions, streams, 3, 80), filters (80, taps).
    """
    offset = wave.shift * filters.sum(1)
    return torch.addcmul(offset[:, None], filtered, wave.scale[:, None])

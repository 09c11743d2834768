"""InstanceNorm over the blocks of the engine, as a scale and a shift for each stream, from given statistics."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from streamer.engine.layers import Affine


@dataclass(frozen=True, slots=True)
class InstanceWeights:
    """The parameters of an InstanceNorm: weight and bias (channels,), and the epsilon added to the variance."""

    weight: Tensor
    bias: Tensor
    eps: float

    @classmethod
    def of(cls, norm: nn.Module) -> InstanceWeights:
        assert isinstance(norm, nn.InstanceNorm1d)
        return cls(norm.weight.detach(), norm.bias.detach(), norm.eps)

    def affine(self, mean: Tensor, variance: Tensor) -> Affine:
        """The norm with these statistics: mean and biased variance, (streams, channels) each."""
        scale = self.weight / (variance + self.eps).sqrt()
        return Affine(scale, self.bias - mean * scale)

    def over_time(self, block: Tensor) -> Tensor:
        """Normalise a block (time, streams, channels) by its own statistics."""
        variance, mean = torch.var_mean(block, dim=0, correction=0)
        return self.affine(mean, variance)(block)


def after_sinc(wave: Affine, filters: Tensor, filtered: Tensor) -> Tensor:
    """Apply the norm of the waveform to the sinc filters' output for the raw waveform.

    A convolution is linear: filters * (a x + b) = a (filters * x) + b sum(filters).
    wave: scale and shift (streams, 1). filters (80, taps). filtered (positions, streams, 3, 80).
    """
    offset = wave.shift * filters.sum(1)
    return torch.addcmul(offset[:, None], filtered, wave.scale[:, None])

"""Statistics pooling, at once over all frames or merged block by block.

The weighted mean and unbiased weighted standard deviation ("reliability weights",
https://en.wikipedia.org/wiki/Weighted_arithmetic_mean) with pyannote.audio's semantics. Blocks are merged by
Chan, Golub & LeVeque (1983), which keeps float32 exact where a running sum of squares would cancel:
https://en.wikipedia.org/wiki/Algorithms_for_calculating_variance#Parallel_algorithm
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

#: Keeps the division finite if all weights are zero; the value is pyannote.audio's.
EPSILON = 1e-8

Array = TypeVar("Array", Tensor, NDArray[np.float32])


@dataclass(frozen=True, slots=True)
class Moments(Generic[Array]):
    """Weighted first and second moments of runs of frames, float32, as torch tensors or numpy arrays.

    weight, weight2: (..., 1), the sums of the weights and of their squares; with no weighting, the number of frames.
    mean, m2: (..., channels), the weighted mean and the weighted sum of squared deviations from it.
    """

    weight: Array
    weight2: Array
    mean: Array
    m2: Array

    @classmethod
    def of(cls, frames: Array, weights: Array) -> Moments[Array]:
        """Moments of `frames` (..., frames, channels) under `weights` (..., frames, 1), over the frames."""
        weight = weights.sum(-2)
        mean = (frames * weights).sum(-2) / (weight + EPSILON)
        deviation = frames - mean[..., None, :]
        return cls(weight, (weights**2).sum(-2), mean, (weights * deviation**2).sum(-2))

    def merged(self) -> Moments[Array]:
        """The moments of the union of disjoint runs, along the second to last axis."""
        weight = self.weight.sum(-2)
        mean = (self.mean * self.weight).sum(-2) / (weight + EPSILON)
        between = self.weight * (self.mean - mean[..., None, :]) ** 2
        return Moments(weight, self.weight2.sum(-2), mean, (self.m2 + between).sum(-2))

    def joined(self, other: Moments[Array]) -> Moments[Array]:
        """The moments of the union of these frames and the others, which must be disjoint."""
        weight = self.weight + other.weight
        share = other.weight / (weight + EPSILON)
        apart = other.mean - self.mean
        m2 = self.m2 + other.m2 + apart**2 * (self.weight * share)
        return Moments(weight, self.weight2 + other.weight2, self.mean + apart * share, m2)

    def statistics(self, epsilon: float = 0.0) -> tuple[Array, Array]:
        """Weighted mean and unbiased weighted standard deviation, (..., channels) each; zeros without any weight.

        epsilon: added to the variance before its root.
        """
        # Reliability weights give no unbiased variance for a single frame: without the floor, 0 / 0 by rounding.
        freedom = self.weight - self.weight2 / (self.weight + EPSILON) + EPSILON
        # numpy's types give float64 for a float32 array to the power of a float, which is wrong.
        return self.mean, (self.m2 / abs(freedom) + epsilon) ** 0.5  # type: ignore[return-value]


def statistics_pool(frames: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean and unbiased standard deviation over time, concatenated.

    frames: (batch, channels, frames).
    weights: None, (batch, n) or (batch, speakers, n), brought to the number of frames by nearest interpolation.
    Returns (batch, 2 * channels), or (batch, speakers, 2 * channels) for weights by speaker.
    """
    if weights is None:
        std, mean = torch.std_mean(frames, dim=-1, correction=1)
        return torch.cat([mean, std], dim=-1)
    by_speaker = weights.unsqueeze(1) if weights.dim() == 2 else weights
    by_speaker = at_frame_rate(by_speaker, frames.shape[-1])
    moments = Moments.of(frames.transpose(1, 2).unsqueeze(1), by_speaker.unsqueeze(-1))
    pooled = torch.cat(moments.statistics(), dim=-1)
    return pooled.squeeze(1) if weights.dim() == 2 else pooled


def at_frame_rate(weights: Tensor, num_frames: int) -> Tensor:
    """Resample weights (batch, speakers, n) to (batch, speakers, num_frames) by nearest interpolation."""
    return weights if weights.shape[-1] == num_frames else F.interpolate(weights, size=num_frames, mode="nearest")

"""The student in training: the network, with the fixed part run once and the losses on top."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamer.models.network import Frames
from streamer.models.pooling import EPSILON, Moments
from streamer.models.sinc import SincFilters
from streamer.models.xvector import XVectorSincNet
from streamer.training import losses
from streamer.training.recipe import Loss
from streamer.training.sampler import CropBatch

DITHER = 1e-3


class Student(nn.Module):
    """The network, and what only training needs.

    prototypes: see `MarginSoftmax`, one for each speaker in a voice.
    components: the number of components of the teacher's frames, if these are targets.
    """

    def __init__(self, network: XVectorSincNet, prototypes: Tensor, components: int = 0) -> None:
        super().__init__()
        self.network = network
        self.margin = losses.MarginSoftmax(prototypes)
        self.hearing = nn.Linear(network.embedding.in_features // 2, components) if components else None
        # The mel-spaced filters are not trained: learned cut-offs hardly move, and their gradient costs as much as the
        # TDNN.
        self.network.sincnet.filterbank.requires_grad_(False)

    def frames(self, heard: Tensor) -> Frames:
        """Equal to `network.frames`, but with the engine's fixed filters, which are twice as fast without a
        gradient."""
        sincnet = self.network.sincnet
        if not sincnet.log_front:
            return self.network.frames(heard.unsqueeze(1))
        with torch.no_grad():
            bands = SincFilters(sincnet.filterbank.filters()[:, 0]).log_power(heard)
        return self.network.frames_of(sincnet.after_first_stage(bands.permute(1, 2, 0)))

    def embed(self, frames: Frames) -> Tensor:
        """Equal to `network.pool` for float32 frames."""
        if frames.attention is None:
            return self.network.pool(frames)
        weights = frames.attention.unsqueeze(2)
        mean, m2 = WeightedMoments.apply(frames.features.transpose(1, 2), weights)  # type: ignore[no-untyped-call]
        moments = Moments(weights.sum(1), weights.square().sum(1), mean, m2)
        embeddings: Tensor = self.network.embedding(torch.cat(moments.statistics(), dim=1))
        return embeddings

    def forward(
        self, heard: Tensor, batch: CropBatch, voices: Tensor, weights: Loss, margin: float
    ) -> dict[str, Tensor]:
        """The losses of a batch.

        heard: (batch + extra, samples), the disturbed crops, then pieces without any speech.
        voices: (batch,) bool, crops with background voices, where frames do not tell whose speech they hold.
        margin: the current weight of the margin softmax.
        """
        count = len(batch.label)
        frames = self.frames(heard)
        # A channel can be constant over a crop, above all in bfloat16, and the root of its variance, 0, has no slope:
        # so a thousandth of a standard deviation is added to every other frame.
        dither = DITHER * (torch.arange(frames.features.shape[2], device=heard.device) % 2).float()
        pooled = Frames(frames.features[:count] + dither, _float(frames.attention, count))  # in float32, as dither is
        with torch.autocast(heard.device.type, enabled=False):
            embeddings = F.normalize(self.embed(pooled), dim=1)
            parts = {
                "distillation": losses.distillation(embeddings, batch.target),
                "similarity": losses.similarity(embeddings, batch.target),
                "margin": self.margin(embeddings, batch.label),
            }
            total = weights.distillation * parts["distillation"] + weights.similarity * parts["similarity"]
            total = total + margin * parts["margin"]
            if frames.speech is not None:
                asked = torch.cat([~voices, voices.new_ones(len(heard) - count)])
                wanted = F.pad(batch.speech, (0, 0, 0, len(heard) - count))
                parts["speech"] = F.binary_cross_entropy_with_logits(frames.speech.float()[asked], wanted[asked])
                total = total + weights.speech * parts["speech"]
            if self.hearing is not None and batch.heard is not None:
                parts["frames"] = self.frames_unexplained(frames.features[:count], batch, voices)
                total = total + weights.frames * parts["frames"]
        return {"loss": total, **parts}

    def frames_unexplained(self, features: Tensor, batch: CropBatch, voices: Tensor) -> Tensor:
        """The loss against the teacher's frames, at the frames `asked`; features (batch, channels, frames)."""
        assert self.hearing is not None and batch.heard is not None
        asked = batch.asked(voices)
        return losses.unexplained(self.hearing(features.transpose(1, 2)[asked].float()), batch.heard.values[asked])


def _float(tensor: Tensor | None, count: int) -> Tensor | None:
    return None if tensor is None else tensor[:count].float()


class WeightedMoments(torch.autograd.Function):
    """`mean` and `m2` of `Moments.of`: (batch, frames, channels), (batch, frames, 1) -> (batch, channels), twice.

    It passes over the frames only a few times in both directions; the automatic derivative would cost more than some of
    the layers.
    """

    @staticmethod
    def forward(ctx: Any, frames: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        by_channel = weights.transpose(1, 2)
        weight = weights.sum(1) + EPSILON
        mean = (by_channel @ frames).squeeze(1) / weight
        m2 = (by_channel @ (frames - mean[:, None]).square_()).squeeze(1)
        ctx.save_for_backward(frames, weights, mean, weight)
        return mean, m2

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        frames, weights, mean, weight = ctx.saved_tensors
        # The weighted deviations from the mean sum to zero, so m2 has no gradient through the mean.
        of_mean, of_m2 = gradients[0] / weight, gradients[1]
        slope = (of_mean - 2 * of_m2 * mean)[:, None]
        by_frame = torch.addcmul(slope, frames, 2 * of_m2[:, None])
        # For the weight of a frame: (of_mean + of_m2 * (x - mean)) * (x - mean), summed over the channels.
        constant = ((of_m2 * mean - of_mean) * mean).sum(1)[:, None, None]
        by_weight = (torch.linalg.vecdot(by_frame, frames)[..., None] + frames @ slope.transpose(1, 2)) / 2 + constant
        return by_frame.mul_(weights), by_weight


@torch.no_grad()
def approach(network: XVectorSincNet, other: XVectorSincNet, share: float) -> None:
    """Move the parameters and statistics of a network by a share (0 to 1) towards those of another; counts are
    copied."""
    for mine, theirs in zip(network.state_dict().values(), other.state_dict().values(), strict=True):
        if mine.is_floating_point():
            mine.lerp_(theirs, share)
        else:
            mine.copy_(theirs)


class Average:
    """An exponential moving average of a network's parameters and statistics (Polyak averaging).

    The decay grows from 0 with the steps, so the random initial weights are forgotten at once.
    """

    def __init__(self, network: XVectorSincNet, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    def update(self, network: XVectorSincNet, step: int) -> None:
        """Update the average with the network after a step."""
        approach(self.network, network, 1 - min(self.decay, (1 + step) / (10 + step)))

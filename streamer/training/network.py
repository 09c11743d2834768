"""The student while it learns: the network, with the fixed part run once and the losses on top."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamer.models.xvector import Frames, XVectorSincNet
from streamer.training import losses
from streamer.training.recipe import Loss
from streamer.training.sampler import Batch

DITHER = 1e-3


class Student(nn.Module):
    """The network and what only training needs.

    Args:
        prototypes: see `MarginSoftmax`, one for each speaker at a speed.
    """

    def __init__(self, network: XVectorSincNet, prototypes: Tensor) -> None:
        super().__init__()
        self.network = network
        self.margin = losses.MarginSoftmax(prototypes)
        # The mel-spaced filters stay: learned cut-offs hardly move, and their gradient costs as much as the TDNN.
        self.network.sincnet.filterbank.requires_grad_(False)

    def forward(self, heard: Tensor, batch: Batch, voices: Tensor, weights: Loss, margin: float) -> dict[str, Tensor]:
        """The losses of a batch.

        Args:
            heard: (batch + extra, samples), the disturbed crops, then stretches without any speech.
            voices: (batch,) bool, crops with other voices behind: whose speech a frame is cannot be asked there.
            margin: the margin softmax' weight by now.
        """
        count = len(batch.label)
        frames = self.network.frames(heard.unsqueeze(1))
        features = frames.features[:count].float()
        # Above all in bfloat16, a channel can be constant over a crop, and the root of its variance, 0, has no slope:
        # every other frame is raised by a thousandth of a standard deviation.
        features = features + DITHER * (torch.arange(features.shape[-1], device=features.device) % 2)
        pooled = Frames(features, _float(frames.attention, count))
        with torch.autocast(heard.device.type, enabled=False):
            embeddings = F.normalize(self.network.pool(pooled), dim=1)
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
        return {"loss": total, **parts}


def _float(tensor: Tensor | None, count: int) -> Tensor | None:
    return None if tensor is None else tensor[:count].float()


class Average:
    """An exponential moving average of a network's parameters and statistics (Polyak averaging).

    The decay grows from 0 with the steps, so that the random start is forgotten at once.
    """

    def __init__(self, network: XVectorSincNet, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: XVectorSincNet, step: int) -> None:
        """Move a step towards the network."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for mine, theirs in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
            if mine.is_floating_point():
                mine.lerp_(theirs, 1 - decay)
            else:
                mine.copy_(theirs)

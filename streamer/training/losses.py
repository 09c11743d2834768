"""The losses: against the teacher's embeddings and frames, the speakers' labels, and the speech detector's labels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FURTHEST = 2.0  # standard deviations of a teacher's frames


def distillation(embeddings: Tensor, targets: Tensor) -> Tensor:
    """1 - cosine to the teacher's embedding, mean over the batch. Both (batch, dimension), of norm 1."""
    return (1 - (embeddings * targets).sum(1)).mean()


def similarity(embeddings: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error of the cosines between all pairs in the batch (relational distillation, Park et al., 2019)."""
    apart = ~torch.eye(len(embeddings), dtype=torch.bool, device=embeddings.device)
    return (embeddings @ embeddings.T - targets @ targets.T)[apart].square().mean()


def unexplained(frames: Tensor, wanted: Tensor) -> Tensor:
    """Squared error of frames (frames, components), mean over the frames. If the components' variances sum to 1, it is
    the share of the teacher's variance that the frames do not explain.

    Beyond `FURTHEST`, the error of a frame grows only in proportion to its norm (Huber, 1964): one teacher's frame in a
    thousand lies five standard deviations out or more, and a crop of such frames would dominate its batch.
    """
    if not len(wanted):
        return frames.sum() * 0
    squared = (frames - wanted).square().sum(1)
    far = 2 * FURTHEST * squared.clamp(min=FURTHEST**2).sqrt() - FURTHEST**2
    return torch.where(squared < FURTHEST**2, squared, far).mean()


class MarginSoftmax(nn.Module):
    """Additive angular margin softmax (Deng et al., 2019): embeddings of norm 1 (batch, dimension) -> loss.

    prototypes: initial weights of the classes, (classes, dimension). From the teacher's means, the loss has a useful
        gradient from the first step; random weights of thousands of classes have none for a long time.
    scale: factor on the cosines before the softmax.
    margin: added to the angle to the correct class, radians.
    """

    def __init__(self, prototypes: Tensor, scale: float = 30.0, margin: float = 0.2) -> None:
        super().__init__()
        self.weight = nn.Parameter(F.normalize(prototypes, dim=1))
        self.scale, self.margin = scale, margin

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        cosine = embeddings @ F.normalize(self.weight, dim=1).T
        own = cosine.gather(1, labels[:, None]).clamp(-1 + 1e-6, 1 - 1e-6)
        # Beyond pi - margin, the cosine would rise again; a straight line continues to fall there.
        limit = torch.cos(torch.tensor(torch.pi - self.margin))
        moved = torch.where(own > limit, torch.cos(torch.acos(own) + self.margin), own - self.margin * 0.2)
        return F.cross_entropy(self.scale * cosine.scatter(1, labels[:, None], moved), labels)

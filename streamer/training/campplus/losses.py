"""The distance of the student from its teacher, in all windows of a stream at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from streamer.models.campplus.network import EPSILON, CamPlusPlus

#: First and end frame of the windows in the loss, and their weights: the first second, two and three after a cold start
#: or a change of speaker; the last second and a half of a stream that is already running.
WINDOWS = ((0, 50, 0.6), (0, 100, 1.0), (0, 150, 1.2), (0, None, 1.0), (75, None, 1.0), (-50, None, 0.6))
PAIRS, CONTRAST, FRAMES = 5.0, 0.1, 0.5
CONTRAST_SCALE = 20.0
#: Frames at the start, in which the student cannot yet match a teacher that sees the whole recording.
COLD = 15
#: Lower limit of a channel's deviation in the gradient: the square root has no slope at a variance of zero.
QUIET = 1e-2


@dataclass(frozen=True, slots=True)
class Lesson:
    """The input of a student, and the targets of its teacher.

    rows (batch, rows, 80) float32: the student's input. before: frames of another voice, or of a pause, at its
    beginning. frames (frames, batch, 512) and embeddings (batch, 192): the teacher's, for the undisturbed voice.
    """

    rows: Tensor
    before: int
    frames: Tensor
    embeddings: Tensor


def pooled(network: CamPlusPlus, block: Tensor) -> Tensor:
    """Embeddings (batch, 192) of frames (frames, batch, 512), as the network pools them."""
    attention = network.attention_of(block)
    assert attention is not None
    share = attention.t()[..., None]
    share = share / share.sum(0)
    mean = (block * share).sum(0)
    variance = ((block - mean) ** 2 * share).sum(0) / (1 - share.square().sum(0))
    smooth = (variance + QUIET).sqrt()
    deviation = smooth + ((variance + EPSILON).sqrt() - smooth).detach()
    embeddings: Tensor = network.embedding(torch.cat([mean, deviation], 1))
    return embeddings


def loss(network: CamPlusPlus, heard: Tensor, lesson: Lesson) -> tuple[Tensor, float]:
    """The loss of frames (frames, batch, 512), and the mean cosine to the teacher over the longest cold window."""
    frames = heard[lesson.before :]
    count = min(len(frames), len(lesson.frames))
    frames, taught = frames[:count], lesson.frames[:count].float()
    scale = taught.var((0, 1)).mean()
    total = FRAMES * F.smooth_l1_loss(frames[COLD:], taught[COLD:]) / scale
    wanted = F.normalize(lesson.embeddings, dim=1)
    likeness, whole = wanted @ wanted.t(), sum(weight for _, _, weight in WINDOWS)
    nearest = 0.0
    for first, end, weight in WINDOWS:
        found = F.normalize(pooled(network, frames[first:end]), dim=1)
        cosine = (found * wanted).sum(1).mean()
        pairs = ((found @ found.t() - likeness) ** 2).mean()
        contrast = F.cross_entropy(CONTRAST_SCALE * found @ wanted.t(), torch.arange(len(found), device=found.device))
        total = total + weight / whole * (1 - cosine + PAIRS * pairs + CONTRAST * contrast)
        if (first, end) == (0, 150):
            nearest = float(cosine.detach())
    return total, nearest

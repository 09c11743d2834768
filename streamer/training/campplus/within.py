"""Make the embedding of one voice vary less from recording to recording, with labelled speech.

An embedding also depends on the words, the room and the channel. Within-class covariance normalisation (Hatch,
Kajarekar & Stolcke, 2006, "Within-class covariance normalization for SVM-based speaker recognition") shrinks the
directions in which the embeddings of one speaker differ. Linear discriminant analysis then removes those in which
speakers differ least. The result is a matrix that becomes part of the network's last layer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from streamer.audio.chunks import SAMPLE_RATE
from streamer.evaluation.plda import covariances
from streamer.models.campplus.network import CamPlusPlus
from streamer.training.campplus.disturbance import Disturbance
from streamer.training.campplus.pieces import Pieces

#: Windows of a speaker, each from another piece where there are enough; and samples of a window.
EACH, WINDOW = 4, 3 * SAMPLE_RATE
#: Windows are also heard in part, for what varies in short speech: lengths in samples, and weights.
LENGTHS, WEIGHTS = (WINDOW, SAMPLE_RATE), (2 / 3, 1 / 3)
#: Speakers that are heard at once, and how often; fewer different ones than SPEAKERS do not describe all directions.
AT_ONCE, ROUNDS, SPEAKERS = 8, 150, 400
#: Added to the covariance within speakers, as a share of its mean variance: small variances are not known well.
SHRINKAGE = 1.0
#: The share of the directions that is kept.
KEPT = 5 / 6


@torch.inference_mode()
def hear(
    network: CamPlusPlus, pieces: Pieces, disturbance: Disturbance, generator: torch.Generator, rounds: int = ROUNDS
) -> list[Tensor]:
    """Embeddings (speakers, EACH, dimension) of random speakers, half of the windows disturbed, for each length."""
    found: list[list[Tensor]] = [[] for _ in LENGTHS]
    for _ in range(rounds):
        waves = pieces.take_speakers(AT_ONCE, EACH, WINDOW, generator).flatten(0, 1)
        waves[1::2] = disturbance(waves[1::2])
        for length, embeddings in zip(LENGTHS, found, strict=True):
            embeddings.append(network(waves[:, None, :length]).view(AT_ONCE, EACH, -1))
    return [torch.cat(embeddings) for embeddings in found]


def normalisation(lengths: Sequence[Tensor]) -> Tensor:
    """The matrix (dimension, dimension) float64 for embeddings as row vectors, from those of `hear`."""
    embeddings = lengths[0].double().cpu()
    dimension = embeddings.shape[2]
    found = [_covariances(some) for some in lengths]
    within = sum(
        (weight * covariance / covariance.trace() for (covariance, _), weight in zip(found, WEIGHTS, strict=True)),
        SHRINKAGE / dimension * torch.eye(dimension, dtype=torch.float64),
    )
    variances, directions = torch.linalg.eigh(within)
    whitened = directions * variances.rsqrt() @ directions.t()
    between = found[0][1]
    _, directions = torch.linalg.eigh(whitened @ between @ whitened)
    kept = directions[:, -round(KEPT * dimension) :]
    matrix = whitened @ kept @ kept.t()
    size = embeddings.norm(dim=2).mean()
    normalised: Tensor = matrix * (size / (embeddings @ matrix).norm(dim=2).mean())
    return normalised


def _covariances(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Within and between speakers, (dimension, dimension) float64 each."""
    speaker = np.arange(len(embeddings)).repeat(embeddings.shape[1])
    within, between = covariances(embeddings.flatten(0, 1).double().cpu().numpy(), speaker, shrinkage=0.0)
    return torch.from_numpy(within), torch.from_numpy(between)


@torch.no_grad()
def apply(network: CamPlusPlus, matrix: Tensor) -> None:
    """Multiply the network's embeddings by a matrix, in its last layer."""
    layer = network.embedding
    matrix = matrix.t().to(layer.weight.device)
    layer.weight.copy_(matrix @ layer.weight.double())
    layer.bias.copy_(matrix @ layer.bias.double())

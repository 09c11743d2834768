"""Make the embedding of one voice vary less from recording to recording, with labelled speech.

An embedding also depends on the words, the room and the channel. Within-class covariance normalisation (Hatch,
Kajarekar & Stolcke, 2006, "Within-class covariance normalization for SVM-based speaker recognition") shrinks the
directions in which the embeddings of one speaker differ. Linear discriminant analysis then removes those in which
speakers differ least. The result is a matrix that becomes part of the network's last layer.
"""

from __future__ import annotations

import torch
from torch import Tensor

from streamer.audio.chunks import SAMPLE_RATE
from streamer.models.campplus.network import CamPlusPlus
from streamer.training.campplus.disturbance import Disturbance
from streamer.training.campplus.pieces import Pieces

#: Windows of a speaker, each from another piece where there are enough, and samples of a window.
EACH, WINDOW = 4, 3 * SAMPLE_RATE
#: Speakers that are heard at once, and how often; fewer different ones than SPEAKERS do not describe all directions.
AT_ONCE, ROUNDS, SPEAKERS = 8, 200, 400
#: Added to the covariance within speakers, as a share of its mean variance: small variances are not known well.
SHRINKAGE = 0.7
#: The share of the directions that is kept.
KEPT = 5 / 6


@torch.inference_mode()
def hear(
    network: CamPlusPlus, pieces: Pieces, disturbance: Disturbance, generator: torch.Generator, rounds: int = ROUNDS
) -> Tensor:
    """Embeddings (speakers, EACH, dimension) of random speakers, half of the windows disturbed."""
    found = []
    for _ in range(rounds):
        waves = pieces.take_speakers(AT_ONCE, EACH, WINDOW, generator).flatten(0, 1)
        waves[1::2] = disturbance(waves[1::2])
        found.append(network(waves[:, None]).view(AT_ONCE, EACH, -1))
    return torch.cat(found)


def normalisation(embeddings: Tensor) -> Tensor:
    """The matrix (dimension, dimension) float64 for embeddings (speakers, windows, dimension), as row vectors."""
    embeddings = embeddings.double().cpu()
    speakers, each, dimension = embeddings.shape
    means = embeddings.mean(1, keepdim=True)
    rest = (embeddings - means).flatten(0, 1)
    within = rest.t() @ rest / (speakers * (each - 1))
    variances, directions = torch.linalg.eigh(within)
    whitened = directions * (variances + SHRINKAGE * variances.mean()).rsqrt() @ directions.t()
    # The means of a few windows also vary within speakers.
    between = whitened @ (torch.cov(means[:, 0].t()) - within / each) @ whitened
    _, directions = torch.linalg.eigh(between)
    kept = directions[:, -round(KEPT * dimension) :]
    matrix = whitened @ kept @ kept.t()
    size = embeddings.norm(dim=2).mean()
    normalised: Tensor = matrix * (size / (embeddings @ matrix).norm(dim=2).mean())
    return normalised


@torch.no_grad()
def apply(network: CamPlusPlus, matrix: Tensor) -> None:
    """Multiply the network's embeddings by a matrix, in its last layer."""
    layer = network.embedding
    matrix = matrix.t().to(layer.weight.device)
    layer.weight.copy_(matrix @ layer.weight.double())
    layer.bias.copy_(matrix @ layer.bias.double())

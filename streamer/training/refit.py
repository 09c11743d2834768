"""Fit a last layer to new targets in closed form: ridge regression on the pooled statistics, or on the frames.

Fine-tuning from a wrong last layer distorts the layers below before the last layer is right (Kumar et al., 2022,
https://arxiv.org/abs/2202.10054).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from streamer.models.xvector import XVectorSincNet
from streamer.training.augmentation import Augmenter
from streamer.training.network import Student
from streamer.training.sampler import Sampler

BATCH = 32
CROP_S = 2.0


def refit(
    network: XVectorSincNet, sampler: Sampler, augment: Augmenter, crops: int = 4000, ridge: float = 0.03
) -> None:
    """Replace the network's last layer by the one that fits the sampler's targets best, for disturbed crops."""
    rng, pooled, targets = np.random.default_rng(23), [], []
    training = network.training
    network.eval()

    def keep(_: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
        pooled.append(inputs[0])

    hook = network.embedding.register_forward_pre_hook(keep)
    try:
        for _ in range(crops // BATCH):
            batch = sampler.draw(BATCH, CROP_S, rng)
            with torch.inference_mode():
                network(augment(batch.waves, rng)[0].unsqueeze(1))
            targets.append(batch.target)
    finally:
        hook.remove()
        network.train(training)
    regress(network.embedding, torch.cat(pooled), torch.cat(targets), ridge)


def fit_frames(
    student: Student, sampler: Sampler, augment: Augmenter, crops: int = 960, every: int = 4, ridge: float = 0.01
) -> None:
    """Fit the layer for the teacher's frames, from one in `every` frames of disturbed crops."""
    rng, given, wanted = np.random.default_rng(29), [], []
    training = student.training
    student.eval()
    for _ in range(crops // BATCH):
        batch = sampler.draw(BATCH, CROP_S, rng)
        waves, voices = augment(batch.waves, rng)
        with torch.inference_mode():
            features = student.frames(waves).features.transpose(1, 2)
        asked = batch.asked(voices)
        assert batch.heard is not None
        given.append(features[asked][::every])
        wanted.append(batch.heard.values[asked][::every])
    student.train(training)
    assert student.hearing is not None
    regress(student.hearing, torch.cat(given), torch.cat(wanted), ridge)


def regress(layer: torch.nn.Linear, given: Tensor, wanted: Tensor, ridge: float) -> None:
    """Set a layer to the ridge regression from inputs (items, inputs) to outputs (items, outputs).

    ridge: added to the diagonal of the inputs' correlations, which may be singular.
    """
    given, wanted = given.double(), wanted.double()
    centre, scale = given.mean(0), given.std(0).clamp_min(1e-6)
    given = (given - centre) / scale
    correlation = given.T @ given / len(given) + ridge * torch.eye(given.shape[1], dtype=torch.float64)
    weight = torch.linalg.solve(correlation, given.T @ (wanted - wanted.mean(0)) / len(given)).T / scale
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(wanted.mean(0) - weight @ centre)

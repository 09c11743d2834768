"""From a training state to the weights that are shipped: statistics measured anew, scores described, one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from streamer.evaluation.manifest import SAMPLE_RATE
from streamer.evaluation.metrics import det_curve, equal_error
from streamer.evaluation.scoring import cosine
from streamer.evaluation.trials import all_pairs
from streamer.models.checkpoint import save
from streamer.models.model import Model, ModelCard
from streamer.models.xvector import XVectorSincNet
from streamer.training.augmentation import Augmenter
from streamer.training.data import Corpus, Int64
from streamer.training.sampler import Sampler

LICENCE = "MIT"
DURATIONS_S = (1.0, 3.0)
Scores = dict[str, dict[str, float]]


def measure_norms(network: XVectorSincNet, sampler: Sampler, augment: Augmenter, batches: int = 60) -> None:
    """Replace the BatchNorm statistics by plain averages over many training batches.

    The moving averages of training belong to the weights as they moved; averaged weights need their own.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # A cumulative average.
        norm.train()
    rng = np.random.default_rng(12345)
    with torch.no_grad():
        for _ in range(batches):
            network(augment(sampler.draw(64, 2.0, rng).waves, rng)[0].unsqueeze(1))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()


def score_statistics(network: XVectorSincNet, corpus: Corpus, held_out: Int64, seed: int = 7) -> Scores:
    """Mean and deviation of the cosines of one speaker and of different speakers, by the windows' duration.

    Measured on undisturbed speech of the speakers that training left out, one window in the middle of each of up to
    8 utterances. (The network has not learned these voices; it has heard their corpora.)
    """
    rng = np.random.default_rng(seed)
    utterances = len(corpus) // len(corpus.speeds)
    found: Scores = {}
    for duration_s in DURATIONS_S:
        samples = round(duration_s * SAMPLE_RATE)
        chosen, speaker, position = [], [], []
        for number in held_out:
            rows = np.flatnonzero(corpus.speaker[:utterances] == number)
            rows = rows[corpus.samples[rows] >= samples + SAMPLE_RATE]  # A window half a second from either end.
            for place, row in enumerate(rng.permutation(rows)[:8]):
                start = int(corpus.samples[row] - samples) // 2
                chosen.append(corpus.wave(int(row), start, start + samples))
                speaker.append(number)
                position.append(place)
        waves = torch.from_numpy(np.stack(chosen).astype(np.float32) / 32768).unsqueeze(1)
        batches = [waves[i : i + 64] for i in range(0, len(waves), 64)]
        with torch.inference_mode():
            embeddings = torch.cat([network(part) for part in batches]).numpy()
        trials = all_pairs(np.array(speaker), np.array(position), apart=1)
        scores = cosine(embeddings, trials.left, trials.right)
        same, different = scores[trials.same], scores[~trials.same]
        found[f"{duration_s:.1f}"] = {
            "same_mean": float(same.mean()),
            "same_std": float(same.std()),
            "different_mean": float(different.mean()),
            "different_std": float(different.std()),
            "threshold": equal_error(det_curve(scores, trials.same))[1],
        }
    return found


def export(
    path: Path, network: XVectorSincNet, sampler: Sampler, augment: Augmenter, threshold: float, details: dict[str, Any]
) -> None:
    """Write the weights as float16, with what their scores mean."""
    measure_norms(network, sampler, augment)
    details = {**details, "scores": score_statistics(network, sampler.corpus, sampler.held_out)}
    save(path, Model(network, ModelCard("default", threshold, LICENCE, details)), torch.float16)

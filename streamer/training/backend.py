"""What comes with the weights to score with: a cohort of training speakers, and what scores normalised by it mean."""

from __future__ import annotations

import numpy as np
import torch

from streamer.evaluation.manifest import SAMPLE_RATE
from streamer.evaluation.scoring import AdaptiveNorm, speaker_means
from streamer.evaluation.trials import all_pairs
from streamer.evaluation.verification import embed_items
from streamer.models.xvector import XVectorSincNet
from streamer.speakers.backend import Cohort
from streamer.speakers.profiles import Vector
from streamer.speakers.scoring import Calibration, fit
from streamer.training.augmentation import Augmenter
from streamer.training.data import Corpus, Float32, Int64
from streamer.training.development import embedder
from streamer.training.sampler import Sampler

WINDOWS = 8  # of a held-out speaker
BATCH = 40
CROP_S = 3.0


def held_out_windows(corpus: Corpus, held_out: Int64, duration_s: float, seed: int = 7) -> tuple[list[Float32], Int64]:
    """One window from the middle of each of up to 8 utterances of the speakers left out, and whose it is.

    Utterances need half a second on either side of the window, where clips are mostly silent.
    """
    rng = np.random.default_rng(seed)
    samples = round(duration_s * SAMPLE_RATE)
    chosen, speaker = [], []
    for number in held_out:
        rows = np.flatnonzero((corpus.speaker == number) & (corpus.speed == 0))
        rows = rows[corpus.samples[rows] >= samples + SAMPLE_RATE]
        for row in rng.permutation(rows)[:WINDOWS]:
            start = int(corpus.samples[row] - samples) // 2
            chosen.append(corpus.wave(int(row), start, start + samples).astype(np.float32) / np.float32(32768))
            speaker.append(number)
    return chosen, np.array(speaker)


def make_cohort(network: XVectorSincNet, sampler: Sampler, augment: Augmenter, crops: int = 6000) -> Vector:
    """Embeddings (voices, dimension) of speakers of the training data with two utterances or more.

    Each is the mean direction of some crops, a third of them undisturbed; speakers are drawn as in training.
    """
    corpus, rng = sampler.corpus, np.random.default_rng(5)
    count = len(corpus.speakers)
    utterances = np.bincount(corpus.speaker[corpus.speed == 0], minlength=count)
    chance = np.where((utterances >= 2) & (sampler.class_size[:count] > 0), sampler.chance[:count], 0.0)
    embeddings, labels = [], []
    for number in range(crops // BATCH):
        batch = sampler.draw(BATCH, CROP_S, rng, rng.choice(count, BATCH, p=chance / chance.sum()))
        waves = batch.waves if number % 3 == 0 else augment(batch.waves, rng)[0]
        with torch.inference_mode():
            embeddings.append(network(waves.unsqueeze(1)).numpy())
        labels.append(batch.label.numpy())
    return np.asarray(speaker_means(np.concatenate(embeddings), np.concatenate(labels)), np.float32)


def calibrate(
    network: XVectorSincNet, corpus: Corpus, held_out: Int64, augment: Augmenter, cohort: Cohort, seconds: list[float]
) -> Calibration | None:
    """What normalised scores mean, by the windows' length; every other window is disturbed, as life does.

    None where the speakers left out have too little to say.
    """
    same, different = [], []
    for duration_s in seconds:
        items, speaker = held_out_windows(corpus, held_out, duration_s)
        if len(items) < 2:
            continue
        disturbed, _ = augment(torch.from_numpy(np.stack(items[::2])), np.random.default_rng(9))
        items[::2] = list(disturbed.numpy())
        trials = all_pairs(speaker, np.arange(len(items)), apart=1)
        embeddings = embed_items(items, embedder(network))
        scores = AdaptiveNorm(cohort)(embeddings, trials.left, trials.right)
        if trials.same.any() and not trials.same.all():
            # Between windows of one length, half of it stands behind a score; see `effective_seconds`.
            same.append((duration_s / 2, scores[trials.same]))
            different.append((duration_s / 2, scores[~trials.same]))
    return fit(same, different) if same else None

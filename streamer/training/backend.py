"""The scoring data that comes with the weights: a cohort of training speakers; and windows of held-out speakers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.signal import resample_poly

from streamer.audio.chunks import SAMPLE_RATE
from streamer.evaluation.manifest import Float32
from streamer.evaluation.scoring import speaker_means
from streamer.evaluation.trials import Trials, all_pairs
from streamer.models.xvector import XVectorSincNet
from streamer.speakers.profiles import Vector
from streamer.training.augmentation import Augmenter
from streamer.training.data import Corpus, Int64
from streamer.training.sampler import Sampler

WINDOWS = 8  # of a held-out speaker
BATCH = 40
CROP_S = 3.0
#: The cohort's speed changes (up, down): between 0.9, 1 and 1.1, which training uses.
BETWEEN = ((20, 19), (20, 21))


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of one length, of held-out speakers: items, samples each; speaker and corpus (items,), as numbers."""

    items: list[Float32]
    speaker: Int64
    corpus: Int64

    def trials(self, pairs: int = 5000, seed: int = 11) -> Trials | None:
        """Pairs within one corpus, the same number of each kind from each corpus, drawn with replacement; None if none.

        People are mistaken for others who speak the same language into the same kind of microphone. Pairs across
        corpora are easier, and would make scores seem better evidence than they are among people who meet.
        """
        rng, every = np.random.default_rng(seed), all_pairs(self.speaker, np.arange(len(self.items)), apart=1)
        corpus = np.where(self.corpus[every.left] == self.corpus[every.right], self.corpus[every.left], -1)
        drawn = []
        for number in np.unique(self.corpus):
            kinds = [np.flatnonzero((corpus == number) & (every.same == same)) for same in (True, False)]
            if all(len(kind) for kind in kinds):
                drawn += [rng.choice(kind, pairs) for kind in kinds]
        if not drawn:
            return None
        chosen = np.concatenate(drawn)
        return Trials(every.left[chosen], every.right[chosen], every.same[chosen], self.speaker)


def held_out_windows(corpus: Corpus, held_out: Int64, duration_s: float, seed: int = 7) -> Windows:
    """One window from the middle of each of up to 8 utterances of each held-out speaker.

    An utterance needs half a second on either side of the window, because clips are mostly silent at their ends.
    """
    rng = np.random.default_rng(seed)
    samples = round(duration_s * SAMPLE_RATE)
    chosen, speaker, where = [], [], []
    for number in held_out:
        rows = np.flatnonzero((corpus.speaker == number) & (corpus.voice == 0))
        rows = rows[corpus.samples[rows] >= samples + SAMPLE_RATE]
        for row in rng.permutation(rows)[:WINDOWS]:
            start = int(corpus.samples[row] - samples) // 2
            chosen.append(corpus.wave(int(row), start, start + samples).astype(np.float32) / np.float32(32768))
            speaker.append(number)
            where.append(corpus.corpus[row])
    return Windows(chosen, np.array(speaker, np.int64), np.array(where, np.int64))


def embedded(
    network: XVectorSincNet, sampler: Sampler, augment: Augmenter, crops: int, classes: Vector
) -> tuple[Float32, Int64]:
    """Embeddings (crops, dimension) of training speakers in two voices that training does not use, and their labels.

    A third of the crops are undisturbed. classes: probability of each class, (classes,).
    """
    rng = np.random.default_rng(5)
    embeddings, labels = [], []
    for number in range(crops // BATCH):
        voice = number % len(BETWEEN)
        up, down = BETWEEN[voice]
        batch = sampler.draw(BATCH, CROP_S * down / up, rng, rng.choice(len(classes), BATCH, p=classes))
        # This filter has a slow slope, unlike that of `Voice`: with nothing above 7.6 kHz, all voices of the cohort
        # would sound alike, and unlike recordings with the full band.
        heard = resample_poly(batch.waves.numpy(), up, down, axis=1)[:, : round(CROP_S * SAMPLE_RATE)]
        waves = torch.from_numpy(heard.astype(np.float32))
        if number % 3:
            waves = augment(waves, rng)[0]
        with torch.inference_mode():
            embeddings.append(network(waves.unsqueeze(1)).numpy())
        labels.append(batch.label.numpy() + voice * len(classes))
    return np.concatenate(embeddings), np.concatenate(labels)


def make_cohort(network: XVectorSincNet, sampler: Sampler, augment: Augmenter, crops: int = 8000) -> Vector:
    """Embeddings (voices, dimension) of training speakers with two utterances or more, changed into strangers.

    A network moves the voices that it was trained on away from all others, so they resemble a stranger less than
    another stranger does: scores normalised by them make strangers seem known. Each speaker is therefore played a
    little slower and a little faster than in training, which gives two voices of nobody. Each embedding is the mean
    direction of the crops of one voice. Speakers are drawn as in training.
    """
    corpus = sampler.corpus
    count = len(corpus.speakers)
    utterances = np.bincount(corpus.speaker[corpus.voice == 0], minlength=count)
    chance = np.where((utterances >= 2) & (sampler.class_size[:count] > 0), sampler.chance[:count], 0.0)
    embeddings, labels = embedded(network, sampler, augment, crops, chance / chance.sum())
    return np.asarray(speaker_means(embeddings, labels), np.float32)

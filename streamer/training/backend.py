"""What comes with the weights to score with: a cohort of training speakers; and windows of those left out."""

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
#: The cohort's speeds (up, down): between 0.9, 1 and 1.1, which training hears.
BETWEEN = ((20, 19), (20, 21))


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of one length of speakers left out: items, samples each; speaker and corpus (items,), as numbers."""

    items: list[Float32]
    speaker: Int64
    corpus: Int64

    def trials(self, pairs: int = 5000, seed: int = 11) -> Trials | None:
        """Pairs within one corpus, so many of each kind from each corpus, drawn with repetition; None without any.

        A voice is mistaken for another that speaks the same language into the same kind of microphone. Pairs across
        corpora are easier, and would say that scores are worth more than they are among people who meet.
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
    """One window from the middle of each of up to 8 utterances of the speakers left out.

    Utterances need half a second on either side of the window, where clips are mostly silent.
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
    """Embeddings (crops, dimension) of training speakers in two voices that training does not hear, and their labels.

    A third of the crops are undisturbed. classes: how probable each class is, (classes,).
    """
    rng = np.random.default_rng(5)
    embeddings, labels = [], []
    for number in range(crops // BATCH):
        voice = number % len(BETWEEN)
        up, down = BETWEEN[voice]
        batch = sampler.draw(BATCH, CROP_S * down / up, rng, rng.choice(len(classes), BATCH, p=classes))
        # By a filter with a slow slope, not as `Voice` does it: with nothing above 7.6 kHz the whole cohort would be
        # alike, and unlike the recordings that have the upper end.
        heard = resample_poly(batch.waves.numpy(), up, down, axis=1)[:, : round(CROP_S * SAMPLE_RATE)]
        waves = torch.from_numpy(heard.astype(np.float32))
        if number % 3:
            waves = augment(waves, rng)[0]
        with torch.inference_mode():
            embeddings.append(network(waves.unsqueeze(1)).numpy())
        labels.append(batch.label.numpy() + voice * len(classes))
    return np.concatenate(embeddings), np.concatenate(labels)


def make_cohort(network: XVectorSincNet, sampler: Sampler, augment: Augmenter, crops: int = 8000) -> Vector:
    """Embeddings (voices, dimension) of speakers of the training data with two utterances or more, as strangers.

    A network pulls the voices that it learned away from all others, so that they resemble a stranger less than another
    stranger does: scores that are counted from them make strangers seem known. Each speaker is therefore heard a little
    slower and a little faster than training hears it, which makes two voices of nobody. Each is the mean direction of
    its crops; speakers are drawn as in training.
    """
    corpus = sampler.corpus
    count = len(corpus.speakers)
    utterances = np.bincount(corpus.speaker[corpus.voice == 0], minlength=count)
    chance = np.where((utterances >= 2) & (sampler.class_size[:count] > 0), sampler.chance[:count], 0.0)
    embeddings, labels = embedded(network, sampler, augment, crops, chance / chance.sum())
    return np.asarray(speaker_means(embeddings, labels), np.float32)

"""Draws the crops of a training step, with their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from streamer.audio.chunks import SAMPLE_RATE
from streamer.evaluation.manifest import Float32
from streamer.models.grid import FrameGrid
from streamer.speech.silero import CHUNK
from streamer.training import speech
from streamer.training.data import Corpus, Int64
from streamer.training.frames import FrameTargets
from streamer.training.hearing import HeardCorpus
from streamer.training.targets import class_sums, compensation, spread

LEAST_SPEECH = 0.5  # of a partial, so that crops are taken around it


@dataclass(frozen=True, slots=True)
class CropBatch:
    """Clean crops and their labels.

    Shapes: waves (batch, samples); target (batch, dimension) of norm 1; label (batch,) int64; speech (batch, frames).
    heard: the teacher's frames, if requested.
    """

    waves: Tensor
    target: Tensor
    label: Tensor
    speech: Tensor
    heard: FrameTargets | None = None

    def to(self, device: torch.device) -> CropBatch:
        return CropBatch(
            self.waves.to(device),
            self.target.to(device),
            self.label.to(device),
            self.speech.to(device),
            self.heard and self.heard.to(device),
        )

    def asked(self, voices: Tensor) -> Tensor:
        """Which frames have targets from the teacher, (batch, frames): speech, but not of crops with background
        voices."""
        assert self.heard is not None
        return self.heard.known & (self.speech > 0.5) & ~voices[:, None]


class Sampler:
    """Draws speakers, not utterances: most voices of a crowd-sourced corpus have one clip, some have hundreds.

    A class (a speaker in a voice) is drawn in proportion to the square root of its speech.

    heard: the teacher's outputs for the corpus.
    labels: silero's probabilities, see `speech.label_corpus`.
    grid: of the network's frames.
    dimension: of the targets, at least that of the teacher's embeddings.
    utterance_share: the share of the teacher's mean over the whole utterance in a target; the rest is its mean over the
        crop. The utterance tells more about the voice.
    shrinkage: see `compensation`.
    without: corpora to leave out (an extra development set).
    held_out_every: one in this number of speakers is left out, to calibrate scores; 0 keeps all.
    """

    def __init__(
        self,
        corpus: Corpus,
        heard: HeardCorpus,
        labels: Float32,
        grid: FrameGrid,
        dimension: int,
        utterance_share: float = 0.0,
        shrinkage: float = 1.0,
        without: Sequence[str] = (),
        held_out_every: int = 0,
    ) -> None:
        self.corpus, self.labels, self.grid, self.utterance_share = corpus, labels, grid, utterance_share
        self.teacher, self.frames = heard.teacher, heard.frames
        self.counts = self.teacher.counts(corpus.samples)
        self.first = np.cumsum(self.counts) - self.counts
        self.first_label = np.cumsum(speech.label_counts(corpus.samples)) - speech.label_counts(corpus.samples)
        self.row = np.repeat(np.arange(len(corpus)), self.counts)
        self.index = np.arange(len(self.row)) - self.first[self.row]

        left_out = [corpus.corpora.index(name) for name in without]
        self.held_out = np.arange(0, len(corpus.speakers), held_out_every) if held_out_every else np.arange(0)
        kept = ~np.isin(corpus.corpus, left_out) & ~np.isin(corpus.speaker, self.held_out)
        #: The speakers outside the training data: those held out, and all speakers of the corpora left out.
        self.unheard = np.unique(corpus.speaker[~kept])
        speaker = np.where(kept & (corpus.voice == 0), corpus.speaker, -1)[self.row]
        mean, matrix = compensation(heard.embeddings, speaker, shrinkage)
        wider = matrix @ spread(self.teacher.dimension, dimension)
        self.targets: Float32 = np.asarray((heard.embeddings - mean) @ wider, np.float32)
        begin = self.first_label[self.row] + self.index * self.teacher.hop // CHUNK
        total = np.concatenate([[0.0], np.cumsum(labels, dtype=np.float64)])
        # A row shorter than a partial was repeated, so its share of speech is relative to its own length.
        length = np.minimum(self.teacher.partial, corpus.samples[self.row]) // CHUNK
        end = np.minimum(begin + length, len(labels))
        usable = np.flatnonzero((total[end] - total[begin] >= LEAST_SPEECH * length) & kept[self.row])
        label = corpus.label(self.row[usable])
        self.anchors = usable[np.argsort(label, kind="stable")]
        self.class_size = np.bincount(label, minlength=corpus.classes)
        self.class_start = np.cumsum(self.class_size) - self.class_size
        self.chance = np.sqrt(self.class_size) / np.sqrt(self.class_size).sum()

    def target(self, row: int, start: int, samples: int) -> Float32:
        """The teacher's target for a crop: the mean of the partials inside it, combined with the utterance's mean."""
        partials = self.targets[self.first[row] : self.first[row] + self.counts[row]]
        begin = np.arange(len(partials)) * self.teacher.hop
        overlap = np.minimum(begin + self.teacher.partial, start + samples) - np.maximum(begin, start)
        weight = np.maximum(overlap, 1.0) ** 4  # Nearly only the partials that lie inside.
        crop = _unit(weight @ partials / weight.sum())
        whole = _unit(partials.mean(0))
        return _unit((1 - self.utterance_share) * crop + self.utterance_share * whole)

    def prototypes(self, seed: int = 0) -> Tensor:
        """The teacher's mean of each class (classes, dimension), of norm 1; random for a class without an utterance."""
        rng = np.random.default_rng(seed)
        sums = class_sums(self.targets, self.corpus.label(self.row), self.corpus.classes)
        noise = rng.standard_normal(sums.shape).astype(np.float32) * np.float32(1e-3)
        return torch.nn.functional.normalize(torch.from_numpy(sums + noise), dim=1)

    def draw(self, count: int, seconds: float, rng: np.random.Generator, classes: Int64 | None = None) -> CropBatch:
        """A batch of crops of one length; utterances that are shorter are repeated.

        classes: the class of each crop, (count,); None draws them at random.
        """
        samples = round(seconds * SAMPLE_RATE)
        if classes is None:
            classes = rng.choice(len(self.chance), count, p=self.chance)
        anchors = self.anchors[self.class_start[classes] + (rng.random(count) * self.class_size[classes]).astype(int)]
        rows = self.row[anchors]
        waves = np.empty((count, samples), np.float32)
        target = np.empty((count, self.targets.shape[1]), np.float32)
        centres = self.grid.centres(0, self.grid.num_frames(samples))
        places = np.empty((count, len(centres)), np.int64)
        for i, (row, anchor) in enumerate(zip(rows, anchors, strict=True)):
            length = int(self.corpus.samples[row])
            middle = int(self.index[anchor]) * self.teacher.hop + rng.integers(0, self.teacher.partial)
            start = int(np.clip(middle - samples // 2, 0, max(0, length - samples)))
            waves[i] = np.resize(self.corpus.wave(row, start, start + samples), samples)
            target[i] = self.target(row, start, min(samples, length))
            places[i] = (start + centres) % length
        return CropBatch(
            waves=torch.from_numpy(waves / 32768),
            target=torch.from_numpy(target),
            label=torch.from_numpy(self.corpus.label(rows)),
            speech=torch.from_numpy(self.labels[self.first_label[rows][:, None] + places // CHUNK]),
            heard=None if self.frames is None else self.frames.at(self.first[rows], self.counts[rows], places),
        )


def _unit(vector: Float32) -> Float32:
    return np.asarray(vector / (np.linalg.norm(vector) + 1e-9), np.float32)

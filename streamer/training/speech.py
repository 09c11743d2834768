"""Labels for the speech head: silero-vad's probability for every 512 samples of the clean audio (MIT licence)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from streamer.evaluation.manifest import Float32
from streamer.speech.silero import CHUNK, speech_probabilities
from streamer.training.data import Corpus, Int64


def label_counts(samples: Int64) -> Int64:
    """The number of probabilities of rows with these numbers of samples; the last one may cover padding."""
    return -(-samples // CHUNK)


def label_corpus(corpus: Corpus, path: Path, batch: int = 256) -> Float32:
    """silero's probabilities for every row of the corpus, in order, saved as float16.

    Rows of similar length share a batch. Only the rows in the speakers' real voices are computed; the other rows take
    the same labels, stretched by the ratio of lengths.
    """
    if path.exists():
        done: Float32 = np.load(path).astype(np.float32)
        return done
    from rich.progress import track

    counts = label_counts(corpus.samples)
    first = np.cumsum(counts) - counts
    result = np.empty(int(counts.sum()), np.float16)
    utterances = len(corpus) // corpus.voices
    order = np.argsort(corpus.samples[:utterances], kind="stable")
    for begin in track(range(0, utterances, batch), description="silero"):
        rows = order[begin : begin + batch]
        waves = [np.asarray(corpus.wave(int(row)) / 32768, np.float32) for row in rows]
        probabilities = speech_probabilities(waves)
        for row, known in zip(rows, probabilities, strict=True):
            for twin in range(int(row), len(corpus), utterances):
                where = np.linspace(0, len(known) - 1, counts[twin])
                result[first[twin] : first[twin] + counts[twin]] = np.interp(where, np.arange(len(known)), known)
    np.save(path, result)
    return result.astype(np.float32)

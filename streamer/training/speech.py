"""Labels for the speech head: silero-vad's probability for every 512 samples of the clean audio (MIT licence)."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch

from streamer.evaluation.manifest import Float32
from streamer.training.data import Corpus, Int64

HOP = 512  # samples per probability


def label_counts(samples: Int64) -> Int64:
    """How many probabilities a row of so many samples has; the last one may cover padding."""
    return -(-samples // HOP)


def silero(waves: torch.Tensor) -> torch.Tensor:
    """Speech probabilities (batch, ceil(samples / 512)) of waveforms (batch, samples), each from a fresh state."""
    with warnings.catch_warnings():
        # It is shipped as TorchScript, which newer versions of torch call deprecated.
        warnings.simplefilter("ignore")
        from silero_vad import load_silero_vad

        model = load_silero_vad()
    waves = torch.nn.functional.pad(waves, (0, -waves.shape[1] % HOP))
    with torch.inference_mode():
        return torch.cat([model(block, 16_000) for block in waves.view(len(waves), -1, HOP).unbind(1)], dim=1)


def label_corpus(corpus: Corpus, path: Path, batch: int = 256) -> Float32:
    """silero's probabilities for every row of the corpus, one after the other, saved as float16.

    Rows of one length are near each other in a batch, so that little padding is computed. Only the rows in the
    speakers' own voices are heard; the others take the same labels, stretched by their ratio of lengths.
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
        waves = np.zeros((len(rows), int(corpus.samples[rows].max())), np.float32)
        for wave, row in zip(waves, rows, strict=True):
            wave[: corpus.samples[row]] = corpus.wave(int(row))
        probabilities = silero(torch.from_numpy(waves / np.float32(32768))).numpy()
        for row, heard in zip(rows, probabilities, strict=True):
            known = heard[: counts[row]]
            for twin in range(int(row), len(corpus), utterances):
                where = np.linspace(0, len(known) - 1, counts[twin])
                result[first[twin] : first[twin] + counts[twin]] = np.interp(where, np.arange(len(known)), known)
    np.save(path, result)
    return result.astype(np.float32)

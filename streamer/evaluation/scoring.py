"""Scores of trials from the embeddings of their sides: cosine, and its adaptive normalisation by a cohort (AS-norm)."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from streamer.speakers.backend import Cohort

Float = npt.NDArray[np.floating]
Int = npt.NDArray[np.integer]

CHUNK = 100_000  # trials scored at once: bounds the memory for lists of millions


class Scorer(Protocol):
    """Embeddings (items, dimension) and the items on either side of each trial (trials,) -> scores (trials,)."""

    def __call__(self, embeddings: Float, left: Int, right: Int) -> Float: ...


def unit(embeddings: Float) -> Float:
    """Embeddings (..., dimension) scaled to norm 1."""
    return np.asarray(embeddings / np.maximum(np.linalg.norm(embeddings, axis=-1, keepdims=True), 1e-12))


def cosine(embeddings: Float, left: Int, right: Int) -> Float:
    """Cosine similarity of each trial's sides."""
    embeddings = unit(embeddings)
    return pairwise_dot(embeddings, left, right)


def pairwise_dot(vectors: Float, left: Int, right: Int) -> Float:
    """Inner products of each trial's sides, a chunk of trials at a time."""
    starts = range(0, len(left), CHUNK)
    chunks = [np.einsum("ij,ij->i", vectors[left[i : i + CHUNK]], vectors[right[i : i + CHUNK]]) for i in starts]
    return np.concatenate(chunks) if chunks else np.zeros(0)


class AdaptiveNorm:
    """Adaptive symmetric score normalisation (Matejka et al., 2017).

    Each side's score is counted in standard deviations above the mean of that side's `top` best cohort scores.

    cohort: other speakers.
    """

    def __init__(self, cohort: Cohort) -> None:
        self.cohort = cohort

    def __call__(self, embeddings: Float, left: Int, right: Int) -> Float:
        embeddings = unit(embeddings)
        norms = self.cohort.norms(embeddings)
        return self.cohort.normalised(pairwise_dot(embeddings, left, right), norms[left], norms[right])


def speaker_means(embeddings: Float, speaker: Int) -> Float:
    """One embedding for each speaker that occurs: the mean of its unit embeddings, by ascending speaker number."""
    embeddings = unit(embeddings)
    return np.stack([embeddings[speaker == number].mean(0) for number in np.unique(speaker)])

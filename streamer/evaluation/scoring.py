"""Scores of pairs of embeddings: cosine, and its adaptive normalisation by a cohort (AS-norm)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.floating]


def unit(embeddings: Float) -> Float:
    """Embeddings (n, dimension) scaled to norm 1."""
    return np.asarray(embeddings / np.maximum(np.linalg.norm(embeddings, axis=-1, keepdims=True), 1e-12))


def cosine(left: Float, right: Float) -> Float:
    """Cosine similarity of every pair, (left, right)."""
    return np.asarray(unit(left) @ unit(right).T)


def as_norm(left: Float, right: Float, cohort: Float, top: int = 200) -> Float:
    """Adaptive symmetric score normalisation (Matejka et al., 2017) of every pair, (left, right).

    Each side's score is measured in the mean and the standard deviation of its `top` best cohort scores.

    Args:
        cohort: one embedding for each of many other speakers, (cohort, dimension).
    """
    scores = cosine(left, right)
    mean_left, std_left = _statistics(left, cohort, top)
    mean_right, std_right = _statistics(right, cohort, top)
    return np.asarray(
        ((scores - mean_left[:, None]) / std_left[:, None] + (scores - mean_right) / std_right) / 2
    )


def _statistics(embeddings: Float, cohort: Float, top: int) -> tuple[Float, Float]:
    best = np.sort(cosine(embeddings, cohort), axis=1)[:, -top:]
    return best.mean(1), np.maximum(best.std(1), 1e-6)

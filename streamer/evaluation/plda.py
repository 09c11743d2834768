"""Probabilistic linear discriminant analysis in its two-covariance form (Brummer & de Villiers, 2010).

A speaker is a point y ~ N(0, B), and an embedding is y + e with e ~ N(0, W). The score of a trial is the
log-likelihood ratio of "both embeddings share y" against "each has a separate y". Embeddings are first centred, reduced
by linear discriminant analysis and scaled to norm 1 (Garcia-Romero & Espy-Wilson, 2011).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from streamer.evaluation.scoring import Float, Int, pairwise_dot, unit


@dataclass(frozen=True, slots=True)
class Plda:
    """A fitted model, in the space where W is the identity and B is diagonal.

    Shapes: mean (dimension,); reduction (dimension, kept); centre (kept,); basis (kept, kept); between (kept,).
    """

    mean: Float
    reduction: Float
    centre: Float
    basis: Float
    between: Float

    @classmethod
    def fit(cls, embeddings: Float, speaker: Int, dimension: int = 128, shrinkage: float = 0.1) -> Plda:
        """Fit to labelled embeddings (items, dimension) of at least two speakers, some with two items.

        shrinkage: weight of the identity in the covariance within speakers, in units of its mean eigenvalue.
        """
        embeddings = unit(np.asarray(embeddings, float))
        mean = embeddings.mean(0)
        within, between = covariances(embeddings - mean, speaker, shrinkage)
        kept = min(dimension, len(np.unique(speaker)) - 1, embeddings.shape[1])
        _, vectors = eigh(between, within)
        reduction = vectors[:, ::-1][:, :kept]
        reduced = unit((embeddings - mean) @ reduction)
        centre = reduced.mean(0)
        within, between = covariances(reduced - centre, speaker, shrinkage)
        values, basis = eigh(between, within)
        return cls(mean, reduction, centre, basis, np.maximum(values, 0.0))

    def project(self, embeddings: Float) -> Float:
        """Embeddings (items, dimension) in the space of the model, (items, kept)."""
        return np.asarray((unit((unit(embeddings) - self.mean) @ self.reduction) - self.centre) @ self.basis)

    def __call__(self, embeddings: Float, left: Int, right: Int) -> Float:
        """Log-likelihood ratios (trials,)."""
        items = self.project(embeddings)
        b = self.between
        # Each dimension is a pair of Gaussians with covariance [[1 + b, b], [b, 1 + b]] against one without the
        # off-diagonal b; the quadratic form splits into squares of the sides and their product.
        determinant = 1 + 2 * b
        square = 0.5 * (1 / (1 + b) - (1 + b) / determinant)
        product = b / determinant
        constant = np.sum(np.log1p(b) - 0.5 * np.log(determinant))
        own = items**2 @ square
        return np.asarray(own[left] + own[right] + pairwise_dot(items * np.sqrt(product), left, right) + constant)


def covariances(centred: Float, speaker: Int, shrinkage: float) -> tuple[Float, Float]:
    """(within, between) speakers, (dimension, dimension) each, of centred embeddings."""
    _, number, size = np.unique(speaker, return_inverse=True, return_counts=True)
    sums = np.zeros((len(size), centred.shape[1]))
    np.add.at(sums, number, centred)
    means = sums / size[:, None]
    deviation = centred - means[number]
    within = deviation.T @ deviation / max(1, len(centred) - len(size))
    within += shrinkage * np.trace(within) / len(within) * np.eye(len(within))
    # The means also scatter by the variation within a speaker, less with more items of the speaker.
    between = np.cov(means.T, bias=True) - within * np.mean(1 / size)
    return within, between

"""Targets of the network from a teacher's embeddings: centred, compensated, with the network's number of dimensions."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from streamer.errors import ConfigurationError
from streamer.evaluation.manifest import Float32
from streamer.training.data import Int64


def class_sums(vectors: Float32, label: Int64, classes: int) -> Float32:
    """Sums (classes, dimension) of the vectors (items, dimension) of each class."""
    places = (np.ones(len(label), np.float32), (label, np.arange(len(label))))
    return np.asarray(csr_array(places, shape=(classes, len(label))) @ vectors)


def compensation(embeddings: Float32, speaker: Int64, shrinkage: float) -> tuple[Float32, Float32]:
    """The transform that reduces the variation within speakers: (mean, matrix) for (e - mean) @ matrix.

    Within-class covariance normalisation (Hatch, Kajarekar & Stolcke, 2006) around the mean. Embeddings may share a
    large common part, above all if their entries are never negative; without it, cosines spread out.

    embeddings: (items, dimension); speaker: (items,), -1 for items to leave out.
    shrinkage: the weight of the identity that is added, in units of the covariance's mean eigenvalue.
    """
    counted = speaker >= 0
    heard, number = embeddings[counted], speaker[counted]
    size = np.bincount(number)
    sums = class_sums(heard, number, len(size))
    deviation = heard - (sums / np.maximum(size, 1)[:, None])[number]
    within = deviation.T @ deviation / len(deviation)
    within += shrinkage * np.trace(within) / len(within) * np.eye(len(within))
    values, vectors = np.linalg.eigh(within)
    whitening = (vectors / np.sqrt(values)) @ vectors.T
    return np.asarray(heard.mean(0), np.float32), np.asarray(whitening, np.float32)


def spread(dimension: int, wanted: int, seed: int = 17) -> Float32:
    """A matrix (dimension, wanted) with orthonormal rows: it maps vectors to more dimensions and keeps their cosines.

    It is random, so that no dimension is empty; the identity if both numbers are equal. Raises ConfigurationError if
    `wanted` is less than `dimension`.
    """
    if wanted < dimension:
        raise ConfigurationError(f"the teacher's {dimension} dimensions do not fit into the network's {wanted}.")
    if wanted == dimension:
        return np.eye(dimension, dtype=np.float32)
    square = np.random.default_rng(seed).standard_normal((wanted, dimension))
    return np.asarray(np.linalg.qr(square)[0].T, np.float32)

"""Scores against their formulas, written out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from streamer.evaluation.metrics import eer
from streamer.evaluation.plda import Plda, covariances
from streamer.evaluation.scoring import AdaptiveNorm, cosine, speaker_means, unit
from streamer.speakers.backend import Cohort


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def voices(rng: np.random.Generator, speakers: int, each: int, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of 12 dimensions, noisiest where speakers differ least."""
    speaker = np.repeat(np.arange(speakers), each)
    between, within = np.linspace(2.0, 0.2, 12), noise * np.linspace(0.3, 2.0, 12)
    centres = rng.normal(size=(speakers, 12)) * between
    return 1.0 + centres[speaker] + rng.normal(size=(len(speaker), 12)) * within, speaker


def test_cosine_is_the_angle_whatever_the_lengths(rng):
    vectors = rng.normal(size=(5, 7))

    scores = cosine(vectors * [[1], [10], [0.1], [3], [2]], np.array([0, 1]), np.array([2, 1]))

    assert scores[0] == pytest.approx(vectors[0] @ vectors[2] / np.linalg.norm(vectors[0]) / np.linalg.norm(vectors[2]))
    assert scores[1] == pytest.approx(1.0)


def test_as_norm_counts_deviations_above_the_best_of_the_cohort_on_both_sides(rng):
    vectors, cohort = rng.normal(size=(4, 7)), rng.normal(size=(30, 7))

    (score,) = AdaptiveNorm(Cohort(cohort, top=10))(vectors, np.array([1]), np.array([3]))

    left, right = (sorted(unit(cohort) @ unit(vectors[side]))[-10:] for side in (1, 3))
    raw = unit(vectors[1]) @ unit(vectors[3])
    assert score == pytest.approx(((raw - np.mean(left)) / np.std(left) + (raw - np.mean(right)) / np.std(right)) / 2)


def test_speaker_means_are_in_the_order_of_the_numbers():
    means = speaker_means(np.array([[0.0, 2.0], [4.0, 0.0], [0.0, 1.0]]), np.array([7, 3, 7]))

    assert means.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_plda_is_the_log_likelihood_ratio_of_its_gaussians(rng):
    embeddings, speaker = voices(rng, 60, 6)
    plda = Plda.fit(embeddings, speaker, dimension=5)

    (score,) = plda(embeddings, np.array([0]), np.array([8]))

    first, second = plda.project(embeddings[[0, 8]])
    between, one = np.diag(plda.between), np.eye(5)
    joint = np.block([[between + one, between], [between, between + one]])
    same = multivariate_normal(cov=joint).logpdf(np.r_[first, second])
    alone = multivariate_normal(cov=between + one)
    assert score == pytest.approx(same - alone.logpdf(first) - alone.logpdf(second))


def test_plda_tells_new_speakers_apart_better_than_cosine_where_noise_has_a_direction(
    rng,
):
    plda = Plda.fit(*voices(rng, 200, 8))
    embeddings, speaker = voices(rng, 40, 6)
    left, right = np.triu_indices(len(speaker), 1)
    same = speaker[left] == speaker[right]

    assert eer(plda(embeddings, left, right), same) < 0.8 * eer(cosine(embeddings, left, right), same)


def test_covariances_are_those_the_embeddings_were_drawn_with(rng):
    embeddings, speaker = voices(rng, 3_000, 4)

    within, between = covariances(embeddings - embeddings.mean(0), speaker, shrinkage=0.0)

    # A variance measured on 3,000 speakers is good to about 2.6 %; four of those.
    assert np.diag(within) == pytest.approx(np.linspace(0.3, 2.0, 12) ** 2, rel=0.1)
    assert np.diag(between)[:8] == pytest.approx(np.linspace(2.0, 0.2, 12)[:8] ** 2, rel=0.2)

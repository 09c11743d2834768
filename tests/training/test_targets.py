"""What becomes of a teacher's embeddings before the network learns to give them."""

from __future__ import annotations

import numpy as np
import pytest

from streamer.errors import ConfigurationError
from streamer.training.targets import compensation, spread
from streamer.training.teachers import teacher_of


def test_compensation_turns_down_what_varies_within_a_speaker(corpus, listener, targets):
    row = np.repeat(np.arange(len(corpus)), listener.counts(corpus.samples))
    direction = np.random.default_rng(0).standard_normal(listener.dimension).astype(np.float32)
    session = np.random.default_rng(1).standard_normal((len(row), 1)).astype(np.float32) * 0.05

    mean, matrix = compensation(targets + session * direction, corpus.speaker[row], shrinkage=0.1)

    found = (targets + session * direction - mean) @ matrix

    axis = direction / np.linalg.norm(direction)
    along, elsewhere = found @ axis, found - np.outer(found @ axis, axis)
    assert along.std() < elsewhere.std() * 16  # an untouched direction would have most of the power
    assert np.abs(found.mean(0)).max() < 1e-3


def test_vectors_spread_over_more_dimensions_keep_their_cosines():
    vectors = np.random.default_rng(3).standard_normal((20, 192)).astype(np.float32)

    wider = vectors @ spread(192, 256)

    assert wider.shape == (20, 256)
    np.testing.assert_allclose(wider @ wider.T, vectors @ vectors.T, atol=1e-3)
    assert (wider.std(0) > 0.3).all()  # no dimension is left empty


def test_vectors_do_not_fit_into_fewer_dimensions():
    with pytest.raises(ConfigurationError, match=r"256 .* 192"):
        spread(256, 192)


def test_a_teacher_that_nobody_knows_is_refused():
    with pytest.raises(ConfigurationError, match="campplus"):
        teacher_of("socrates")

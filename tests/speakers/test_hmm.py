import numpy as np
import pytest

from streamer.speakers.hmm import relaxed, updated
from streamer.speakers.scoring import log_softmax


def test_the_filter_is_the_forward_algorithm_with_the_whole_transition_matrix():
    rng = np.random.default_rng(0)
    states, stay = 6, 0.9
    prior = rng.dirichlet(np.ones(states))
    transition = stay * np.eye(states) + (1 - stay) * np.tile(prior, (states, 1))
    belief, log_belief = prior.copy(), np.log(prior)
    for evidence in rng.normal(size=(20, states)):
        belief = (belief @ transition) * np.exp(evidence)
        belief /= belief.sum()
        log_belief = updated(relaxed(log_belief, np.log(prior), stay), evidence)
    assert np.exp(log_belief) == pytest.approx(belief, abs=1e-12)


def test_who_cannot_be_stays_impossible():
    prior = np.array([0.0, -np.inf])
    assert relaxed(prior, prior, 0.5)[1] == -np.inf
    assert updated(prior, np.array([-5.0, 50.0])).tolist() == [0.0, -np.inf]


def test_after_a_long_pause_nothing_but_the_prior_is_believed():
    prior = np.log([0.25, 0.75])
    assert relaxed(np.log([0.9, 0.1]), prior, 0.0) == pytest.approx(prior)


def test_a_transition_is_that_of_the_definition_even_where_a_state_is_impossible():
    rng = np.random.default_rng(3)
    belief, prior = (log_softmax(5 * rng.standard_normal(50)) for _ in range(2))
    belief[:2] = prior[1:3] = -np.inf
    with np.errstate(divide="ignore"):
        expected = np.logaddexp(np.log(0.7) + belief, np.log(0.3) + prior)
    np.testing.assert_allclose(relaxed(belief, prior, 0.7), expected, rtol=1e-12)
    np.testing.assert_array_equal(relaxed(belief, prior, 1.0), belief)

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from streamer.errors import ConfigurationError
from streamer.speakers.profiles import MANY, Exemplar, Profile, Roster, unit
from streamer.speakers.scoring import Calibration, effective_seconds, fit

CALIBRATION = Calibration((0.5, 3.0), (0.4, 0.7), (0.15, 0.1), (0.0, 0.05), (0.12, 0.1), limit=10.0)


def test_the_ratio_is_that_of_the_two_normal_densities_between_its_points():
    seconds = np.exp((np.log(0.5) + np.log(3.0)) / 2)
    score = np.array([0.3])
    expected = norm.logpdf(0.3, 0.55, 0.125) - norm.logpdf(0.3, 0.025, 0.11)
    assert CALIBRATION.llr(score, np.array([seconds])) == pytest.approx(expected, abs=1e-5)


@given(st.floats(0.01, 0.5), st.floats(0.01, 0.5), st.floats(-0.2, 0.3), st.floats(0.01, 0.6), st.floats(0.1, 20))
def test_the_ratio_never_falls_where_the_score_rises_and_stays_within_its_limit(same_std, other_std, other, apart, at):
    calibration = Calibration((1.0,), (other + apart,), (same_std,), (other,), (other_std,), limit=7.0)
    ratios = calibration.llr(np.linspace(-1, 1, 201), np.full(201, at))
    assert np.all(np.diff(ratios) >= -1e-4)
    assert np.abs(ratios).max() <= 7.0


def test_beyond_the_measured_durations_the_last_one_holds():
    score = np.array([0.5])
    assert CALIBRATION.llr(score, np.array([30.0])) == CALIBRATION.llr(score, np.array([3.0]))
    assert CALIBRATION.llr(score, np.array([0.1])) == CALIBRATION.llr(score, np.array([0.5]))


def test_the_threshold_is_where_the_ratio_crosses_zero():
    threshold = CALIBRATION.threshold(3.0)
    assert CALIBRATION.llr(np.array([threshold - 0.002]), np.array([3.0])) < 0
    assert CALIBRATION.llr(np.array([threshold + 0.002]), np.array([3.0])) > 0


def test_a_calibration_survives_being_stored():
    assert Calibration.from_dict(json.loads(json.dumps(CALIBRATION.to_dict()))) == CALIBRATION


def test_scores_between_windows_of_one_length_stand_for_half_of_it():
    values = {"same_mean": 0.5, "same_std": 0.1, "different_mean": 0.0, "different_std": 0.1}
    calibration = Calibration.of_card({"scores": {"3.0": {**values, "same_mean": 0.7}, "1.0": values}})
    assert calibration.seconds == (0.5, 1.5)
    assert calibration.same_mean == (0.5, 0.7)
    assert effective_seconds(3.0, np.array([3.0])) == pytest.approx([1.5])


def test_a_fit_gives_back_the_distributions_it_was_drawn_from():
    rng = np.random.default_rng(1)
    same, other = rng.normal(0.6, 0.1, 20_000), rng.normal(0.1, 0.15, 20_000)
    calibration = fit([(1.0, same)], [(1.0, other)])
    assert calibration.same_mean[0] == pytest.approx(0.6, abs=0.005)
    assert calibration.different_std[0] == pytest.approx(0.15, abs=0.005)


@pytest.mark.parametrize(
    "wrong",
    [
        {"seconds": (3.0, 1.0)},
        {"same_std": (0.1, 0.0)},
        {"different_mean": (0.1,)},
    ],
    ids=["seconds fall", "no spread", "a point is missing"],
)
def test_a_calibration_that_cannot_be_is_refused(wrong):
    columns = {
        "seconds": (1.0, 3.0),
        "same_mean": (0.5, 0.6),
        "same_std": (0.1, 0.1),
        "different_mean": (0.0, 0.0),
        "different_std": (0.1, 0.1),
    }
    with pytest.raises(ConfigurationError):
        Calibration(**{**columns, **wrong})


def test_scores_are_the_cosines_of_every_embedding_with_every_speaker():
    rng = np.random.default_rng(2)
    speakers, embeddings = rng.standard_normal((7, 16)), rng.standard_normal((3, 16))
    roster = Roster([f"s{i}" for i in range(7)], speakers, [10.0] * 7)
    expected = [[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in speakers] for a in embeddings]
    assert roster.scores(embeddings) == pytest.approx(np.array(expected), abs=1e-6)


def test_an_exemplar_counts_by_its_seconds_whatever_its_length_as_a_vector():
    long = Exemplar(np.array([100.0, 0.0], np.float32), speech_s=1.0)
    spoken = Exemplar(np.array([0.0, 0.1], np.float32), speech_s=3.0)
    assert Profile("ada", "f", (long, spoken)).centroid == pytest.approx(unit(np.array([1.0, 3.0])), abs=1e-6)


def test_a_roster_can_be_restricted_to_those_invited_but_not_to_strangers():
    roster = Roster(["ada", "bob", "cy"], np.eye(3), [1.0, 2.0, 3.0])
    assert roster.restricted(["cy", "ada"]) == Roster(["ada", "cy"], np.eye(3)[[0, 2]], [1.0, 3.0])
    with pytest.raises(ConfigurationError, match="not enrolled: dan; enrolled are ada, bob, cy"):
        roster.restricted(["ada", "dan"])


def test_the_scores_of_very_many_are_the_plain_products():
    rng = np.random.default_rng(0)
    roster = Roster([f"p{number}" for number in range(MANY)], rng.standard_normal((MANY, 16)), np.full(MANY, 9.0))
    asked = rng.standard_normal((2, 3, 16))
    expected = np.einsum("abd,sd->abs", asked / np.linalg.norm(asked, axis=-1, keepdims=True), roster.centroids)
    np.testing.assert_allclose(roster.scores(asked), expected, atol=1e-6)

"""Calibrated scores are log-likelihood ratios."""

from __future__ import annotations

import numpy as np
import pytest

from streamer.evaluation.calibration import LinearCalibration, cllr


def test_the_line_of_two_gaussians_of_one_width_is_the_textbook_one():
    rng = np.random.default_rng(0)
    same = np.arange(60_000) < 20_000
    scores = rng.normal(np.where(same, 0.6, 0.1), 0.2)

    line = LinearCalibration.fit(scores, same)

    # log N(s; 0.6, 0.2) - log N(s; 0.1, 0.2) = 12.5 s - 4.375, whatever the share of same-speaker trials.
    assert line.slope == pytest.approx(12.5, rel=0.03)
    assert line.offset == pytest.approx(-4.375, rel=0.03)


def test_separable_scores_have_a_finite_line_that_separates_them():
    line = LinearCalibration.fit(np.array([0.0, 0.1, 0.8, 0.9]), np.array([False, False, True, True]))

    assert np.isfinite([line.slope, line.offset]).all()
    assert (line(np.array([0.1, 0.8])) > 0).tolist() == [False, True]


@pytest.mark.parametrize(("ratios", "cost"), [(0.0, 1.0), (50.0, 0.0)], ids=["nothing known", "all known"])
def test_the_cost_of_ratios_at_its_ends(ratios, cost):
    same = np.array([True, False, True])

    assert cllr(np.where(same, ratios, -ratios), same) == pytest.approx(cost, abs=1e-9)

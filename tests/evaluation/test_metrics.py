"""Error rates against their plain definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.evaluation.metrics import bootstrap, det_curve, eer, equal_error, min_dcf

scored = st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=2, max_size=40).filter(
    lambda trials: len({same for _, same in trials}) == 2
)


def arrays(trials: list[tuple[int, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([score for score, _ in trials], float), np.array([same for _, same in trials])


@given(scored)
def test_the_curve_holds_the_error_rates_of_accepting_from_each_threshold(trials):
    scores, same = arrays(trials)

    curve = det_curve(scores, same)

    for threshold, accepted, rejected in zip(curve.thresholds, curve.false_accept, curve.false_reject, strict=True):
        assert accepted == pytest.approx((scores[~same] >= threshold).mean())
        assert rejected == pytest.approx((scores[same] < threshold).mean())


@given(scored)
def test_the_equal_error_rate_lies_where_the_two_rates_cross(trials):
    scores, same = arrays(trials)
    curve = det_curve(scores, same)

    rate, threshold = equal_error(curve)

    crossed = curve.false_reject >= curve.false_accept
    assert max(curve.false_reject[~crossed], default=0) - 1e-12 <= rate <= curve.false_reject[crossed].min() + 1e-12
    assert curve.false_accept[crossed].max() - 1e-12 <= rate <= curve.false_accept[~crossed].min(initial=1) + 1e-12
    assert scores.min() <= threshold <= scores.max()


@given(scored)
def test_only_the_order_of_scores_counts(trials):
    scores, same = arrays(trials)

    assert eer(np.exp(scores) * 3 - 1, same) == pytest.approx(eer(scores, same))


@given(scored, st.data())
def test_a_weight_is_a_repetition(trials, data):
    scores, same = arrays(trials)
    counts = np.array(data.draw(st.lists(st.integers(1, 3), min_size=len(same), max_size=len(same))))

    repeated = eer(np.repeat(scores, counts), np.repeat(same, counts))

    assert eer(scores, same, counts.astype(float)) == pytest.approx(repeated)


@pytest.mark.parametrize(("shift", "expected"), [(100.0, 0.0), (-100.0, 1.0)], ids=["apart", "swapped"])
def test_separated_scores_have_no_error_and_swapped_ones_nothing_else(shift, expected):
    scores = np.r_[np.arange(10.0) + shift, np.arange(10.0)]

    assert eer(scores, np.arange(20) < 10) == expected


def test_the_equal_error_rate_of_two_gaussians_is_the_textbook_one():
    rng = np.random.default_rng(0)
    scores = np.r_[rng.normal(2, 1, 40_000), rng.normal(0, 1, 40_000)]

    rate, threshold = equal_error(det_curve(scores, np.arange(80_000) < 40_000))

    assert rate == pytest.approx(0.1587, abs=0.005)  # Phi(-1); three standard errors of 40,000 trials
    assert threshold == pytest.approx(1.0, abs=0.03)


@given(scored, st.sampled_from([0.01, 0.05, 0.5]))
def test_the_minimum_cost_is_the_least_over_all_thresholds(trials, prior):
    scores, same = arrays(trials)
    thresholds = [*np.unique(scores), np.inf]

    costs = [
        prior * (scores[same] < threshold).mean() + (1 - prior) * (scores[~same] >= threshold).mean()
        for threshold in thresholds
    ]

    assert min_dcf(scores, same, prior=prior) == pytest.approx(min(costs) / min(prior, 1 - prior))
    assert min_dcf(scores, same, prior=prior) <= 1


@pytest.mark.parametrize("same", [[True, True], [False, False], []])
def test_trials_of_one_kind_only_have_no_error_rates(same):
    with pytest.raises(ValueError, match="both kinds"):
        det_curve(np.zeros(len(same)), np.array(same, bool))


def test_the_interval_surrounds_the_value_and_is_repeatable():
    rng = np.random.default_rng(1)
    speaker = np.repeat(np.arange(20), 4)
    left, right = np.triu_indices(80, 1)
    same = speaker[left] == speaker[right]
    scores = rng.normal(same * 2.0, 1.0)
    speakers = speaker[left], speaker[right]

    low, high = bootstrap(eer, scores, same, speakers, rounds=100)

    assert low < eer(scores, same) < high
    assert (low, high) == bootstrap(eer, scores, same, speakers, rounds=100)

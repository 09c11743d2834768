"""Verification metrics: DET curve, equal error rate, minimum detection cost, and their bootstrap intervals.

Scores are higher for pairs that sound more alike. All functions take plain numpy arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.floating]
Bool = npt.NDArray[np.bool_]
Int = npt.NDArray[np.integer]
Metric = Callable[[Float, Bool, Float | None], float]


@dataclass(frozen=True, slots=True)
class Curve:
    """Operating points, by rising threshold: accepting scores >= threshold gives these error rates.

    The first point accepts every trial, the last one (threshold infinity) none.
    Shapes: all (points,); rates in [0, 1].
    """

    thresholds: Float
    false_accept: Float
    false_reject: Float


def det_curve(scores: Float, same: Bool, weights: Float | None = None) -> Curve:
    """The error rates at every distinct score.

    scores: (trials,).
    same: (trials,), true if both sides are one speaker; both kinds must occur.
    weights: (trials,), how often each trial counts (bootstrap); once by default.
    """
    scores, same = np.asarray(scores), np.asarray(same, bool)
    weight = np.ones(len(scores)) if weights is None else np.asarray(weights, float)
    order = np.argsort(scores, kind="stable")
    scores, target = scores[order], weight[order] * same[order]
    other = weight[order] - target
    if not len(scores) or target.sum() <= 0 or other.sum() <= 0:
        raise ValueError("error rates need trials of both kinds: same speaker and different speakers")
    first = np.flatnonzero(np.r_[True, np.diff(scores) > 0])  # Equal scores are accepted or rejected together.
    rejected = np.r_[0.0, np.cumsum(target)][np.r_[first, len(scores)]]
    passed = np.r_[0.0, np.cumsum(other)][np.r_[first, len(scores)]]
    return Curve(
        thresholds=np.r_[scores[first], np.inf],
        false_accept=1.0 - passed / passed[-1],
        false_reject=rejected / rejected[-1],
    )


def equal_error(curve: Curve) -> tuple[float, float]:
    """(rate, threshold) where false accepts equal false rejects, by linear interpolation between points."""
    gap = curve.false_reject - curve.false_accept  # Rises from -1 to 1.
    after = int(np.argmax(gap >= 0))
    before = max(after - 1, 0)
    part = 0.0 if gap[after] == gap[before] else -gap[before] / (gap[after] - gap[before])
    rate = curve.false_reject[before] + part * (curve.false_reject[after] - curve.false_reject[before])
    low, high = curve.thresholds[before], curve.thresholds[after]
    return float(rate), float(low + part * (high - low) if np.isfinite(high) else low)


def eer(scores: Float, same: Bool, weights: Float | None = None) -> float:
    """The equal error rate, in [0, 1]."""
    return equal_error(det_curve(scores, same, weights))[0]


def min_dcf(
    scores: Float, same: Bool, weights: Float | None = None, *, prior: float = 0.01, miss: float = 1.0, fa: float = 1.0
) -> float:
    """The least normalised detection cost (NIST SRE): 1 is the cost of always rejecting, or always accepting.

    prior: probability of a same-speaker trial.
    miss, fa: the cost of a false reject and of a false accept.
    """
    curve = det_curve(scores, same, weights)
    cost = miss * prior * curve.false_reject + fa * (1 - prior) * curve.false_accept
    return float(cost.min() / min(miss * prior, fa * (1 - prior)))


def bootstrap(
    metric: Metric,
    scores: Float,
    same: Bool,
    speakers: tuple[Int, Int],
    *,
    rounds: int = 200,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """A confidence interval of a metric by resampling speakers, not trials: trials of one speaker are not independent.

    A trial counts as often as its two speakers were drawn, multiplied; a trial between a speaker and itself as often as
    that speaker was drawn (Bolle, Ratha & Pankanti, 2004, the subsets bootstrap). Draws with one kind of trials only
    are left out; if no draw remains, nothing is known: (0, 1).

    speakers: the speaker's number of either side of each trial, (trials,) each, counted from 0.
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(scores, kind="stable")  # Once: sorting sorted scores again takes no time.
    scores, same = np.asarray(scores)[order], np.asarray(same, bool)[order]
    left, right = speakers[0][order], speakers[1][order]
    count = int(max(left.max(), right.max())) + 1
    values = []
    for _ in range(rounds):
        drawn = np.bincount(rng.integers(0, count, count), minlength=count).astype(float)
        weights = np.where(left == right, drawn[left], drawn[left] * drawn[right])
        if (weights * same).sum() > 0 and (weights * ~same).sum() > 0:
            values.append(metric(scores, same, weights))
    if not values:
        return 0.0, 1.0
    tail = (1 - level) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)

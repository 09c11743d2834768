"""Calibration: a line that turns scores into log-likelihood ratios (Brummer & du Preez, 2006)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from streamer.evaluation.metrics import Bool
from streamer.evaluation.scoring import Float


@dataclass(frozen=True, slots=True)
class LinearCalibration:
    """log(P(score | same speaker) / P(score | different speakers)) = slope * score + offset."""

    slope: float
    offset: float

    def __call__(self, scores: Float) -> Float:
        return np.asarray(self.slope * scores + self.offset)

    @classmethod
    def fit(cls, scores: Float, same: Bool, ridge: float = 1e-4, rounds: int = 50) -> LinearCalibration:
        """Logistic regression by Newton's method, with equal total weight for both kinds of trials.

        ridge: a penalty that pulls the slope of standardised scores towards 0. Without it, separable scores have no
            solution.
        """
        scores, same = np.asarray(scores, float), np.asarray(same, bool)
        mean, deviation = scores.mean(), max(float(scores.std()), 1e-9)
        x = np.stack([(scores - mean) / deviation, np.ones(len(scores))])
        weight = np.where(same, 0.5 / max(1, same.sum()), 0.5 / max(1, (~same).sum()))
        pull = np.array([ridge, 0.0])
        solution = np.zeros(2)
        for _ in range(rounds):
            predicted = expit(solution @ x)
            gradient = x @ (weight * (predicted - same)) + pull * solution
            curvature = (x * (weight * predicted * (1 - predicted))) @ x.T + np.diag(pull + 1e-12)
            change = np.linalg.solve(curvature, gradient)
            solution -= change
            if np.abs(change).max() < 1e-10:
                break
        slope = float(solution[0] / deviation)
        return cls(slope, float(solution[1] - slope * mean))


def cllr(ratios: Float, same: Bool) -> float:
    """The cost of log-likelihood ratios, in bits (Brummer & du Preez, 2006): 0 is perfect, 1 is no information."""
    same = np.asarray(same, bool)
    rejected, accepted = np.logaddexp(0, -ratios[same]).mean(), np.logaddexp(0, ratios[~same]).mean()
    return float((rejected + accepted) / (2 * np.log(2)))

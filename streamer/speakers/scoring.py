"""Converts cosine scores to log-likelihood ratios of "the same speaker" against "different speakers".

Scores of same-speaker and of different-speaker pairs are each modelled as a normal distribution whose mean and spread
depend on the amount of speech (Brümmer & du Preez, 2006, "Application-independent evaluation of speaker detection",
for the use of calibrated ratios).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamer.errors import ConfigurationError

Array = NDArray[np.floating]

FIELDS = ("same_mean", "same_std", "different_mean", "different_std")


def effective_seconds(speech_s: float | Array, profile_s: Array) -> Array:
    """The effective amount of speech behind a comparison, in seconds: half the harmonic mean of both sides.

    The noise of an embedding is inversely proportional to its seconds of speech, and the noise of both sides adds up:
    1/e = 1/a + 1/b.
    """
    a, b = np.maximum(speech_s, 0.05), np.maximum(profile_s, 0.05)
    return np.asarray(a * b / (a + b))


@dataclass(frozen=True, slots=True)
class Calibration:
    """The distribution of scores as a function of the effective seconds of speech (see `effective_seconds`).

    seconds, and the means and standard deviations of both kinds of pairs: (points,) each, `seconds` ascending;
    interpolated over log seconds between the points, constant beyond them.
    limit: the largest absolute ratio (nats), since the tails of the model cannot be trusted.
    """

    seconds: tuple[float, ...]
    same_mean: tuple[float, ...]
    same_std: tuple[float, ...]
    different_mean: tuple[float, ...]
    different_std: tuple[float, ...]
    limit: float = 10.0

    def __post_init__(self) -> None:
        if not all(len(getattr(self, field)) == len(self.seconds) > 0 for field in FIELDS):
            raise ConfigurationError("a calibration needs as many means and deviations as it has points, at least one.")
        if min(*self.same_std, *self.different_std, *self.seconds, self.limit) <= 0:
            raise ConfigurationError("the deviations, seconds and limit of a calibration must be positive.")
        if any(later <= earlier for earlier, later in zip(self.seconds, self.seconds[1:], strict=False)):
            raise ConfigurationError(f"the seconds of a calibration must rise: {self.seconds}.")

    @classmethod
    def of_card(cls, details: Mapping[str, Any]) -> Calibration:
        """From a model card's `scores`, cosines between windows of one length.

        Without them, uses a guess that is wide enough to be harmless.
        """
        scores = details.get("scores")
        if not scores:
            return cls((1.0,), (0.55,), (0.15,), (0.10,), (0.13,))
        by_seconds = sorted((float(duration) / 2, values) for duration, values in scores.items())
        return cls._of_columns(
            [seconds for seconds, _ in by_seconds],
            {field: [values[field] for _, values in by_seconds] for field in FIELDS},
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        return cls._of_columns(values["seconds"], values, float(values["limit"]))

    @classmethod
    def _of_columns(cls, seconds: Sequence[float], columns: Mapping[str, Any], limit: float = 10.0) -> Calibration:
        same_mean, same_std, different_mean, different_std = (tuple(map(float, columns[field])) for field in FIELDS)
        return cls(tuple(map(float, seconds)), same_mean, same_std, different_mean, different_std, limit)

    def to_dict(self) -> dict[str, Any]:
        return {name: list(getattr(self, name)) for name in ("seconds", *FIELDS)} | {"limit": self.limit}

    def llr(self, scores: Array, seconds: Array) -> NDArray[np.float32]:
        """Log-likelihood ratios (nats) of scores, given effective seconds; both of one shape, or broadcast.

        Never decreases as the score increases, and stays within +-limit.
        """
        at = np.log(seconds)
        points = np.log(self.seconds)
        same, same_std, other, other_std = (np.interp(at, points, getattr(self, field)) for field in FIELDS)
        score = np.clip(scores, *_monotone_range(same, same_std, other, other_std))
        ratio = ((score - other) / other_std) ** 2 / 2 - ((score - same) / same_std) ** 2 / 2
        return np.asarray(np.clip(ratio + np.log(other_std / same_std), -self.limit, self.limit), np.float32)

    def threshold(self, seconds: float, odds: float = 0.0) -> float:
        """The score above which the log-likelihood ratio exceeds `odds`, given the effective seconds."""
        grid = np.linspace(-1, 1, 2001)
        above = self.llr(grid, np.full_like(grid, seconds)) >= odds
        return float(grid[int(np.argmax(above))]) if above.any() else 1.0


def _monotone_range(same: Array, same_std: Array, other: Array, other_std: Array) -> tuple[Array, Array]:
    """The range of scores over which the quadratic ratio increases: its vertex bounds one side, unless it is a line."""
    curvature = 1 / other_std**2 - 1 / same_std**2
    flat = np.abs(curvature) < 1e-6
    vertex = (other / other_std**2 - same / same_std**2) / np.where(flat, 1.0, curvature)
    low = np.where(~flat & (curvature > 0), vertex, -np.inf)
    high = np.where(~flat & (curvature < 0), vertex, np.inf)
    return low, high


def fit(same: Sequence[tuple[float, Array]], different: Sequence[tuple[float, Array]]) -> Calibration:
    """A calibration from measured scores: (effective seconds, scores) of both kinds, in the same order of seconds."""
    seconds = tuple(point for point, _ in same)
    if seconds != tuple(point for point, _ in different):
        raise ConfigurationError("scores of both kinds must be given for the same seconds.")
    return Calibration(
        seconds,
        tuple(float(np.mean(scores)) for _, scores in same),
        tuple(max(float(np.std(scores)), 1e-3) for _, scores in same),
        tuple(float(np.mean(scores)) for _, scores in different),
        tuple(max(float(np.std(scores)), 1e-3) for _, scores in different),
    )


def log_softmax(values: Array) -> NDArray[np.float64]:
    """Log probabilities that sum to one over the last axis; -inf stays -inf."""
    shifted = values - values.max(-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)), np.float64)


def highest(values: Array, count: int) -> list[int]:
    """The indices of the highest values (many,), the highest first, without a full sort."""
    places = np.arange(len(values))
    if len(values) > 8 * count:
        places = np.sort(np.argpartition(values, -count)[-count:])
    return [int(place) for place in places[np.argsort(-values[places], kind="stable")][:count]]

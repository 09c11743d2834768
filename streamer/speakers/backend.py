"""From embeddings to evidence: scores normalised by a cohort, then calibrated.

Some voices sound like many others (children, or whoever speaks over a poor microphone), and their scores are high
against everybody. Adaptive symmetric normalisation (Matejka et al., 2017, "Analysis of score normalization in
multilingual speaker recognition") counts a score from what both sides score against those of a cohort of other voices
that are nearest to them.

A cohort never holds the people who come, their language or their room. Voices that it has nothing like score low
against it, whoever they are, and two strangers among them would pass for one. So a voice's mean is trusted in part
only; for the rest stands the mean of voices in general.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from streamer.speakers.profiles import Vector, by_dimension, unit
from streamer.speakers.scoring import Array, Calibration, effective_seconds
from streamer.speakers.settings import TrackerSettings

if TYPE_CHECKING:
    from streamer.models.model import Model

#: How many of the cohort, those nearest to a voice, its scores are counted from.
TOP = 150
#: Voices whose cohort scores are worked out at once: bounds the memory for rosters of many thousands.
CHUNK = 1024


class Cohort:
    """Voices of many people who are nobody in particular.

    embeddings: (voices, dimension). top: see `TOP`. trust: the share, 0 to 1, of a voice's own mean in its norm; the
    rest is `usual`, the mean of voices that the cohort has nothing to do with.
    """

    def __init__(
        self, embeddings: NDArray[np.floating], top: int = TOP, *, trust: float = 1.0, usual: float = 0.0
    ) -> None:
        self.embeddings = by_dimension(unit(np.asarray(embeddings, np.float32)))
        self.top = min(top, len(self.embeddings))
        self.trust, self.usual = trust, usual

    def norms(self, embeddings: NDArray[np.floating]) -> Vector:
        """Mean, as far as it is trusted, and standard deviation of each embedding's best scores against the cohort:
        (embeddings, 2)."""
        found = np.empty((len(embeddings), 2), np.float32)
        for start in range(0, len(embeddings), CHUNK):
            scores = unit(embeddings[start : start + CHUNK]) @ self.embeddings.T
            best = np.partition(scores, -self.top, axis=1)[:, -self.top :]
            found[start : start + CHUNK, 0] = best.mean(1)
            found[start : start + CHUNK, 1] = np.maximum(best.std(1), 1e-6)
        found[:, 0] = self.usual + self.trust * (found[:, 0] - self.usual)
        return found

    @staticmethod
    def normalised(scores: Array, one: Vector, other: Vector) -> Vector:
        """Scores (...) between two sides whose `norms` are (..., 2), counted from both."""
        from_one = (scores - one[..., 0]) / one[..., 1]
        from_other = (scores - other[..., 0]) / other[..., 1]
        return np.asarray((from_one + from_other) / 2, np.float32)


@dataclass(frozen=True, slots=True)
class Backend:
    """What the scores of one model are worth.

    calibration: of scores against somebody enrolled, normalised where there is a cohort.
    guests: of scores against a guest, who was heard through the same microphone and in the same room, which makes a
        voice more like itself. None where that is not known: `calibration` then.
    settings: those of a tracker that goes by these scores, where nobody asks for others.
    """

    calibration: Calibration
    cohort: Cohort | None = None
    guests: Calibration | None = None
    settings: TrackerSettings = field(default_factory=TrackerSettings)

    def norms(self, embeddings: NDArray[np.floating]) -> Vector | None:
        """The norms of embeddings (embeddings, dimension), see `Cohort.norms`; None without a cohort."""
        return None if self.cohort is None else self.cohort.norms(embeddings)

    def llr(
        self, scores: Array, seconds: Array, one: Vector | None, other: Vector | None, guests: int = 0
    ) -> NDArray[np.float32]:
        """Log-likelihood ratios (nats) of cosines (..., candidates) between two sides, with so many effective seconds
        behind them.

        one, other: the sides' `norms`, (..., 2) each. guests: so many of the candidates, the last, are guests.
        """
        if self.cohort is not None:
            assert one is not None and other is not None
            scores = self.cohort.normalised(scores, one, other)
        if not guests or self.guests is None:
            return self.calibration.llr(scores, seconds)
        enrolled = self.calibration.llr(scores[..., :-guests], seconds[..., :-guests])
        return np.concatenate([enrolled, self.guests.llr(scores[..., -guests:], seconds[..., -guests:])], axis=-1)

    def compare(
        self, one: NDArray[np.floating], one_s: Array, other: NDArray[np.floating], other_s: Array
    ) -> tuple[Vector, Vector]:
        """Cosines and log-likelihood ratios (one, other) of embeddings with so many seconds of speech each."""
        scores = np.asarray(unit(one) @ unit(other).T, np.float32)
        ones, others = self.norms(one), self.norms(other)
        seconds = effective_seconds(np.asarray(one_s)[:, None], np.asarray(other_s))
        return scores, self.llr(scores, seconds, ones if ones is None else ones[:, None], others)

    @classmethod
    def of(cls, model: Model) -> Backend:
        """What a model brings with it; without a cohort, or without its calibration, cosines as they are."""
        details = model.card.details
        settings = TrackerSettings(**details.get("tracker", {}))
        if model.cohort is None or "tracking" not in details:
            return cls(Calibration.of_card(details), settings=settings)
        guests = Calibration.from_dict(details["guests"]) if "guests" in details else None
        cohort = Cohort(model.cohort, **details.get("cohort", {}))
        return cls(Calibration.from_dict(details["tracking"]), cohort, guests, settings)

"""From embeddings to evidence: scores normalised by a cohort, then calibrated.

Some voices sound like many others (children, or anyone with a poor microphone), and score high against everybody.
Adaptive symmetric normalisation (Matejka et al., 2017, "Analysis of score normalization in multilingual speaker
recognition") corrects for this: it scales a score by the scores of both sides against their nearest cohort voices.

A cohort never contains the actual speakers, their language or their room. Voices unlike any in the cohort score low
against it, and two strangers among them would be taken for one person. So a voice's own mean is trusted only in part;
the rest of the weight goes to the mean of voices in general.
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

#: The number of nearest cohort voices that normalise a score.
TOP = 150
#: The number of voices per product with the cohort. This bounds the memory for rosters of many thousands.
CHUNK = 1024


class Cohort:
    """Embeddings of many other people, to normalise scores by.

    embeddings: (voices, dimension). top: see `TOP`. trust: the weight, 0 to 1, of a voice's own mean in its norm; the
    rest goes to `usual`, the mean of voices unrelated to the cohort.
    """

    def __init__(
        self, embeddings: NDArray[np.floating], top: int = TOP, *, trust: float = 1.0, usual: float = 0.0
    ) -> None:
        self.embeddings = by_dimension(unit(np.asarray(embeddings, np.float32)))
        self.top = min(top, len(self.embeddings))
        self.trust, self.usual = trust, usual

    def norms(self, embeddings: NDArray[np.floating]) -> Vector:
        """The mean (shrunk by `trust`) and standard deviation of each embedding's best cohort scores: (embeddings,
        2)."""
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
        """Scores (...) between two sides with `norms` (..., 2) each, normalised by both sides and averaged."""
        from_one = (scores - one[..., 0]) / one[..., 1]
        from_other = (scores - other[..., 0]) / other[..., 1]
        return np.asarray((from_one + from_other) / 2, np.float32)


@dataclass(frozen=True, slots=True)
class Backend:
    """Turns the scores of one model into evidence.

    calibration: for scores against enrolled speakers, normalised if there is a cohort.
    guests: for scores against guests. A guest is heard through the same microphone in the same room, which makes a
        voice more like itself. None uses `calibration`.
    settings: the default tracker settings for these scores.
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
        """Log-likelihood ratios (nats) of cosines (..., candidates) between two sides, given the effective seconds.

        one, other: the `norms` of the two sides, (..., 2) each. guests: the number of guests, the last of the
            candidates.
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
        """Cosines and log-likelihood ratios (one, other) between embeddings, given the seconds of speech in each."""
        scores = np.asarray(unit(one) @ unit(other).T, np.float32)
        ones, others = self.norms(one), self.norms(other)
        seconds = effective_seconds(np.asarray(one_s)[:, None], np.asarray(other_s))
        return scores, self.llr(scores, seconds, ones if ones is None else ones[:, None], others)

    @classmethod
    def of(cls, model: Model) -> Backend:
        """The backend that a model includes. Without a cohort or its calibration, it calibrates plain cosines."""
        details = model.card.details
        settings = TrackerSettings(**details.get("tracker", {}))
        if model.cohort is None or "tracking" not in details:
            return cls(Calibration.of_card(details), settings=settings)
        guests = Calibration.from_dict(details["guests"]) if "guests" in details else None
        cohort = Cohort(model.cohort, **details.get("cohort", {}))
        return cls(Calibration.from_dict(details["tracking"]), cohort, guests, settings)

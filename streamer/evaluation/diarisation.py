"""Diarisation errors by pyannote.metrics: no collar, overlaps scored, with the best mapping of names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from streamer.audio.chunks import SAMPLE_RATE
from streamer.errors import MissingDependency
from streamer.rttm import LabelledTurn


@dataclass(frozen=True, slots=True)
class DiarisationErrors:
    """Seconds of speech in the reference: `missed` have no speaker, `confusion` have another speaker. `false_alarm` has
    a speaker while nobody speaks. In overlaps, each speaker counts."""

    seconds: float
    missed: float
    false_alarm: float
    confusion: float

    @property
    def der(self) -> float:
        """The diarisation error rate."""
        return (self.missed + self.false_alarm + self.confusion) / self.seconds if self.seconds else 0.0

    @classmethod
    def total(cls, each: Sequence[DiarisationErrors]) -> DiarisationErrors:
        """The sum over several recordings."""
        return cls(
            sum(one.seconds for one in each),
            sum(one.missed for one in each),
            sum(one.false_alarm for one in each),
            sum(one.confusion for one in each),
        )


def errors(reference: Sequence[LabelledTurn], hypothesis: Sequence[LabelledTurn]) -> DiarisationErrors:
    """The errors of one recording, from its start to the last end of either. Raises MissingDependency without
    pyannote.metrics."""
    found = _metric()(
        _annotation(reference), _annotation(hypothesis), uem=_extent(reference, hypothesis), detailed=True
    )
    return DiarisationErrors(
        float(found["total"]),
        float(found["missed detection"]),
        float(found["false alarm"]),
        float(found["confusion"]),
    )


def mapping(reference: Sequence[LabelledTurn], hypothesis: Sequence[LabelledTurn]) -> dict[str, str]:
    """The reference name that each hypothesis name is mapped to; names that map to none are left out."""
    found: dict[str, str] = _metric().optimal_mapping(
        _annotation(reference), _annotation(hypothesis), uem=_extent(reference, hypothesis)
    )
    return found


def _metric() -> Any:
    try:
        from pyannote.metrics.diarization import DiarizationErrorRate
    except ImportError as error:
        raise MissingDependency(
            "diarisation errors need pyannote.metrics: pip install 'speaker-streamer[evaluation]'."
        ) from error
    return DiarizationErrorRate()


def _annotation(turns: Sequence[LabelledTurn]) -> Any:
    from pyannote.core import Annotation, Segment

    made = Annotation()
    for track, (start, end, who) in enumerate(turns):
        made[Segment(start / SAMPLE_RATE, end / SAMPLE_RATE), track] = who
    return made


def _extent(reference: Sequence[LabelledTurn], hypothesis: Sequence[LabelledTurn]) -> Any:
    from pyannote.core import Segment, Timeline

    return Timeline([Segment(0, max((end for _, end, _ in [*reference, *hypothesis]), default=1) / SAMPLE_RATE)])

"""Who spoke when, from the tracker's events, with corrections applied."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from streamer.audio.chunks import SAMPLE_RATE
from streamer.display import table
from streamer.errors import MissingDependency
from streamer.speakers.events import Correction, Event, Renamed, Speaker, SpeechEnd, SpeechStart, TurnEnd, Unknown
from streamer.speakers.names import is_stranger

if TYPE_CHECKING:
    import pandas
    from pyannote.core import Annotation

__all__ = ["Span", "Timeline", "clock", "is_stranger"]


def clock(sample: int) -> str:
    """A position as m:ss.s, or h:mm:ss.s from an hour on."""
    minutes, seconds = divmod(sample / SAMPLE_RATE, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{seconds:04.1f}" if hours else f"{minutes}:{seconds:04.1f}"


@dataclass(frozen=True, slots=True)
class Span:
    """A turn: [start_sample, end_sample) of one speaker. end_sample is None while it lasts.

    channel: which of a room's microphones hears it best; None if there is only one.
    """

    turn: int
    start_sample: int
    end_sample: int | None
    speaker: str
    confidence: float
    final: bool
    channel: int | None = None

    def seconds(self, now_sample: int) -> float:
        end = now_sample if self.end_sample is None else self.end_sample
        return max(0, end - self.start_sample) / SAMPLE_RATE


class Timeline:
    """Collects events in order: of one microphone, where turns follow each other, or of a room, where they may overlap.

    keep_s: spans older than this are dropped, and only their talk time is kept; None keeps all.
    """

    def __init__(self, keep_s: float | None = None) -> None:
        self.spans: list[Span] = []
        self._open: dict[int, Span] = {}
        self.speaking = False
        self.now_sample = 0
        self._keep_s = keep_s
        self._talked: Counter[str] = Counter()

    @property
    def current(self) -> Span | None:
        """The current turn; if there are several, the one that was named last."""
        return next(reversed(self._open.values()), None)

    def hear(self, event: Event) -> None:
        self.now_sample = max(self.now_sample, event.decided_sample)
        if isinstance(event, SpeechStart | SpeechEnd):
            self.speaking = isinstance(event, SpeechStart)
        elif isinstance(event, Speaker | Unknown):
            self._name(event)
        elif isinstance(event, TurnEnd):
            self._end(event)
        elif isinstance(event, Renamed):
            self._rename(event)

    def advance(self, sample: int) -> None:
        """Move the clock: the stream has been heard up to here."""
        self.now_sample = max(self.now_sample, sample)
        if self._keep_s is not None:
            oldest = self.now_sample - self._keep_s * SAMPLE_RATE
            while self.spans and (self.spans[0].end_sample or 0) < oldest:
                gone = self.spans.pop(0)
                self._talked[gone.speaker] += round(gone.seconds(self.now_sample) * SAMPLE_RATE)

    def everything(self) -> list[Span]:
        """All spans: first the finished ones, then those that last."""
        return [*self.spans, *self._open.values()]

    def talk_time(self) -> dict[str, float]:
        """Seconds of speech for each speaker, the most talkative first."""
        seconds = {name: samples / SAMPLE_RATE for name, samples in self._talked.items()}
        for span in self.everything():
            seconds[span.speaker] = seconds.get(span.speaker, 0.0) + span.seconds(self.now_sample)
        return dict(sorted(seconds.items(), key=lambda item: -item[1]))

    # For notebooks

    def to_annotation(self, uri: str | None = None) -> Annotation:
        """The turns as a pyannote.core Annotation, for its metrics and file formats: in seconds, with one track per
        turn.

        A turn that still lasts ends where the stream has been heard up to. uri: the name of the recording.
        """
        from pyannote.core import Annotation, Segment

        annotation = Annotation(uri=uri)
        for span, start, end in self._timed():
            if end > start:
                annotation[Segment(start, end), span.turn] = span.speaker
        return annotation

    def to_frame(self) -> pandas.DataFrame:
        """The turns as a table, one row each: start and end (seconds), speaker, confidence, final, channel (None if
        there is only one), turn. Raises MissingDependency without pandas.
        """
        try:
            import pandas
        except ImportError as error:
            raise MissingDependency("a data frame needs pandas: pip install 'speaker-streamer[notebook]'.") from error
        columns = ["start", "end", "speaker", "confidence", "final", "channel", "turn"]
        rows = [
            (start, end, span.speaker, span.confidence, span.final, span.channel, span.turn)
            for span, start, end in self._timed()
        ]
        return pandas.DataFrame(rows, columns=columns)

    def _timed(self) -> list[tuple[Span, float, float]]:
        """All spans sorted by start, with start and end in seconds."""
        spans = sorted(self.everything(), key=lambda span: (span.start_sample, span.turn))
        return [
            (span, span.start_sample / SAMPLE_RATE, span.start_sample / SAMPLE_RATE + span.seconds(self.now_sample))
            for span in spans
        ]

    def __repr__(self) -> str:
        speakers = len({span.speaker for span in self.everything()})
        return f"Timeline({len(self.everything())} turns of {speakers} speakers, {self.now_sample / SAMPLE_RATE:.1f} s)"

    def _repr_html_(self) -> str:
        rows = [
            (f"{start:.1f} s", f"{end:.1f} s", span.speaker, f"{span.confidence:.0%}")
            for span, start, end in self._timed()
        ]
        return table(repr(self), ["from", "to", "speaker", "confidence"], rows)

    # Internals

    def _name(self, event: Speaker | Unknown) -> None:
        assert isinstance(event, Speaker | Unknown | Correction)
        self._open.pop(event.turn, None)
        self._open[event.turn] = Span(
            event.turn, event.sample, None, event.speaker, event.confidence, event.final, event.channel
        )

    def _end(self, event: TurnEnd) -> None:
        self._open.pop(event.turn, None)
        self.spans.append(
            Span(event.turn, event.start_sample, event.sample, event.speaker, event.confidence, True, event.channel)
        )

    def _rename(self, event: Renamed) -> None:
        self.spans = [_renamed(span, event) for span in self.spans]
        self._open = {turn: _renamed(span, event) for turn, span in self._open.items()}
        self._talked[event.speaker] += self._talked.pop(event.previous, 0)


def _renamed(span: Span, event: Renamed) -> Span:
    return replace(span, speaker=event.speaker) if span.speaker == event.previous else span

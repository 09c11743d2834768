"""Events as plain lines, for pipes and logs."""

from __future__ import annotations

from typing import TextIO

from streamer.output import named
from streamer.sinks.base import SessionView, Sink
from streamer.speakers.events import Ambiguous, Correction, Event, GapEvent, Notice, Overload, Renamed, TurnEnd
from streamer.speakers.timeline import clock

#: A name with less confidence than this is marked.
LOW_CONFIDENCE = 0.7


def how_sure(confidence: float) -> str:
    """A confidence as text for people, with a question mark if it is low."""
    return f"{confidence:.0%}{'?' if confidence < LOW_CONFIDENCE else ''}"


class Lines(Sink):
    """A line for each turn at its end, and for gaps, overloads and other notices."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def event(self, event: Event, session: SessionView) -> None:
        if isinstance(event, TurnEnd):
            text = f"- {clock(event.sample):>8}  {event.speaker} ({how_sure(event.confidence)})"
        elif isinstance(event, Ambiguous):
            text = f"{'':>10}  not clear: {' or '.join(event.candidates)}"
        elif isinstance(event, Correction):
            text = f"{'':>10}  it is {event.speaker}, not {event.previous}"
        elif isinstance(event, Renamed):
            text = f"{'':>10}  {event.previous} is {event.speaker}"
        elif isinstance(event, GapEvent):
            text = f"- {clock(event.end_sample):>8}  nothing was heard: {event.reason}"
        elif isinstance(event, Notice):
            text = f"{'':>10}  {event.message}"
        elif isinstance(event, Overload):
            text = f"{'':>10}  too slow: {event.skipped} steps left out"
        else:
            return
        start = event.start_sample if isinstance(event, TurnEnd) else event.sample
        with named(getattr(self._file, "name", "standard output")):
            self._file.write(f"{clock(start):>8} {text}\n")
            self._file.flush()

"""Turns as SubRip, the captions of most players: numbered cues, each with the speaker's name."""

from __future__ import annotations

from streamer.sinks.turnfile import TurnFile
from streamer.sinks.webvtt import time
from streamer.speakers.timeline import Span


class SubRip(TurnFile):
    """Writes `path`. Raises OSError if it cannot be written."""

    def row(self, span: Span, end_sample: int, number: int) -> str:
        start, end = (time(sample).replace(".", ",") for sample in (span.start_sample, end_sample))
        # An arrow in a name would look like the times of a cue.
        name = " ".join(span.speaker.split()).replace("-->", "->")
        return f"{number}\n{start} --> {end}\n{name}\n\n"

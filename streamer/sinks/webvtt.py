"""Turns as WebVTT, the captions of web players: a cue with a voice tag for each (https://www.w3.org/TR/webvtt1/)."""

from __future__ import annotations

from streamer.audio.chunks import SAMPLE_RATE
from streamer.sinks.turnfile import TurnFile
from streamer.speakers.timeline import Span


def time(sample: int) -> str:
    """A position as hh:mm:ss.mmm."""
    milliseconds = round(sample * 1000 / SAMPLE_RATE)
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}.{milliseconds:03d}"


def escaped(text: str) -> str:
    """Text for a cue: on one line, without the characters that begin a tag."""
    return " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class WebVtt(TurnFile):
    """Writes `path`. Raises OSError if it cannot be written."""

    HEAD = "WEBVTT\n\n"

    def row(self, span: Span, end_sample: int, number: int) -> str:
        name = escaped(span.speaker)
        return f"{time(span.start_sample)} --> {time(end_sample)}\n<v {name}>{name}\n\n"

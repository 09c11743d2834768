"""Turns as an Audacity label track: start, end and name, separated by tabs.

https://manual.audacityteam.org/man/importing_and_exporting_labels.html
"""

from __future__ import annotations

from streamer.audio.chunks import SAMPLE_RATE
from streamer.sinks.turnfile import TurnFile
from streamer.speakers.timeline import Span


class AudacityLabels(TurnFile):
    """Writes `path`. Raises OSError if it cannot be written."""

    def row(self, span: Span, end_sample: int, number: int) -> str:
        name = " ".join(span.speaker.split())
        return f"{span.start_sample / SAMPLE_RATE:.6f}\t{end_sample / SAMPLE_RATE:.6f}\t{name}\n"

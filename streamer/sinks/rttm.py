"""Turns as RTTM, the format of diarisation references (NIST, 2009 Rich Transcription evaluation plan, appendix A)."""

from __future__ import annotations

import os

from streamer.audio.chunks import SAMPLE_RATE
from streamer.sinks.turnfile import TurnFile
from streamer.speakers.timeline import Span


def line(uri: str, start_sample: int, end_sample: int, speaker: str) -> str:
    """One line of RTTM. Its fields are parted by blanks, so that those in names become underscores."""
    name, uri = "_".join(speaker.split()), "_".join(uri.split())
    start_s, duration_s = start_sample / SAMPLE_RATE, (end_sample - start_sample) / SAMPLE_RATE
    return f"SPEAKER {uri} 1 {start_s:.3f} {duration_s:.3f} <NA> <NA> {name} <NA> <NA>\n"


class Rttm(TurnFile):
    """Writes `path`; `uri` names the recording in it. Raises OSError where it cannot be written."""

    def __init__(self, path: str | os.PathLike[str], uri: str) -> None:
        self.uri = uri
        super().__init__(path)

    def row(self, span: Span, end_sample: int, number: int) -> str:
        return line(self.uri, span.start_sample, end_sample, span.speaker)

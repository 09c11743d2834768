"""Turns as RTTM, the format of diarisation references (NIST, 2009 Rich Transcription evaluation plan, appendix A)."""

from __future__ import annotations

import os

from streamer.rttm import line
from streamer.sinks.turnfile import TurnFile
from streamer.speakers.timeline import Span


class Rttm(TurnFile):
    """Writes `path`; `uri` is the name of the recording in it. Raises OSError if it cannot be written."""

    def __init__(self, path: str | os.PathLike[str], uri: str) -> None:
        self.uri = uri
        super().__init__(path)

    def row(self, span: Span, end_sample: int, number: int) -> str:
        return line(self.uri, span.start_sample, end_sample, span.speaker)

"""Turns as RTTM, the format of diarisation references (NIST, 2009 Rich Transcription evaluation plan, appendix A).

Each turn is appended when it ends, so that a process that is killed leaves a valid file; at the end the file is written
anew, with the names that guests have got meanwhile.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.audio.chunks import SAMPLE_RATE
from streamer.sinks.base import Sink
from streamer.speakers.events import Event, Renamed, TurnEnd

if TYPE_CHECKING:
    from streamer.session import Session


def line(uri: str, start_sample: int, end_sample: int, speaker: str) -> str:
    """One line of RTTM. Its fields are parted by blanks, so that those in names become underscores."""
    name, uri = "_".join(speaker.split()), "_".join(uri.split())
    start_s, duration_s = start_sample / SAMPLE_RATE, (end_sample - start_sample) / SAMPLE_RATE
    return f"SPEAKER {uri} 1 {start_s:.3f} {duration_s:.3f} <NA> <NA> {name} <NA> <NA>\n"


class Rttm(Sink):
    """Writes `path`; `uri` names the recording in it. Raises OSError where it cannot be written."""

    def __init__(self, path: str | os.PathLike[str], uri: str) -> None:
        self.path, self.uri = Path(path), uri
        self._file = self.path.open("w", encoding="utf-8")
        self._renamed: list[Renamed] = []

    def event(self, event: Event, session: Session) -> None:
        if isinstance(event, TurnEnd) and event.sample > event.start_sample:
            self._file.write(line(self.uri, event.start_sample, event.sample, event.speaker))
            self._file.flush()
        elif isinstance(event, Renamed):
            self._renamed.append(event)

    def close(self, session: Session) -> None:
        self._file.close()
        if not self._renamed:
            return
        names = {"_".join(event.previous.split()): "_".join(event.speaker.split()) for event in self._renamed}
        lines = []
        for row in self.path.read_text(encoding="utf-8").splitlines():
            fields = row.split(" ")
            while fields[7] in names:
                fields[7] = names[fields[7]]
            lines.append(" ".join(fields) + "\n")
        new = self.path.with_name(self.path.name + ".new")
        new.write_text("".join(lines), encoding="utf-8")
        new.replace(self.path)

"""A file of turns that is valid at every moment: if the process is killed, the file holds everything up to a second
ago.

The file has a committed beginning and a short tail. The tail is rewritten as turns go on, end and are corrected: in one
call, over the old tail, padded to its length with empty lines, which are cut off afterwards. An existing file is
replaced at the first event or step, not when it is opened: a stream that cannot be read does not destroy the turns of
an earlier run.
"""

from __future__ import annotations

import io
import os
from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.audio.chunks import SAMPLE_RATE
from streamer.output import check_writable, named, replacing
from streamer.sinks.base import SessionView, Sink
from streamer.speakers.events import Event, Renamed, Speaker, TurnEnd, Unknown
from streamer.speakers.timeline import Span, Timeline

if TYPE_CHECKING:
    from streamer.engine.window import Step

#: How often an open turn is rewritten.
REFRESH_S = 1.0
#: Turns that ended this long ago are committed: no turn that begins before them can still come.
SETTLED_S = 30.0


class TurnFile(Sink):
    """Keeps `path` up to date with the turns, sorted by their starts, from the first event or step on.

    Raises OSError, with the path, if it cannot be written.
    """

    HEAD = ""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._timeline = Timeline()
        self._committed: list[Span] = []
        check_writable(self.path)
        self._file: io.FileIO | None = None
        self._offset = 0
        self._tail = 0
        #: Number of committed rows.
        self._count = 0
        self._written_sample = 0

    @abstractmethod
    def row(self, span: Span, end_sample: int, number: int) -> str:
        """A turn as text, with its line ends. number: its place in the file, from 1."""

    def text(self, spans: Iterable[Span], end_sample: int) -> str:
        """The content of a file with these turns, all of them complete. end_sample: the end of a turn that is open."""
        ordered = sorted(spans, key=lambda span: (span.start_sample, span.turn))
        return self.HEAD + "".join(self._rows(ordered, end_sample))

    def event(self, event: Event, session: SessionView) -> None:
        self._open()
        self._timeline.hear(event)
        if isinstance(event, Renamed):
            self._begin_anew(event)
        if isinstance(event, TurnEnd | Speaker | Unknown | Renamed):
            self._write()

    def step(self, step: Step, session: SessionView) -> None:
        self._open()
        self._timeline.advance(step.end_sample)
        lasting = self._timeline.current is not None
        if lasting and self._timeline.now_sample - self._written_sample >= REFRESH_S * SAMPLE_RATE:
            self._write()

    def close(self, session: SessionView) -> None:
        """Without any audio, the file stays unchanged."""
        if self._file is not None:
            self._write()
            with named(self.path):
                self._file.close()

    def _open(self) -> None:
        if self._file is None:
            with named(self.path):
                self._file = self.path.open("wb", buffering=0)
                self._file.write(self.HEAD.encode())
            self._offset = len(self.HEAD.encode())

    def _write(self) -> None:
        now = self._written_sample = self._timeline.now_sample
        spans = sorted(self._timeline.everything(), key=lambda span: (span.start_sample, span.turn))
        lasting = [span.start_sample for span in spans if span.end_sample is None]
        settled = min([now - round(SETTLED_S * SAMPLE_RATE), *lasting])
        committed = []
        while spans and spans[0].start_sample < settled and (spans[0].end_sample or now) < settled:
            self._timeline.spans.remove(spans[0])
            committed.append(spans.pop(0))
        rows = self._rows(committed, now, self._count + 1)
        self._count += len(rows)
        done, rest = _bytes(rows), _bytes(self._rows(spans, now, self._count + 1))
        self._committed += committed
        length = len(done) + len(rest)
        with named(self.path):
            assert self._file is not None
            self._file.seek(self._offset)
            _write_all(self._file, done + rest + b"\n" * (self._tail - length))
            if self._tail > length:
                self._file.truncate(self._offset + length)
        self._offset += len(done)
        self._tail = len(rest)

    def _rows(self, spans: Iterable[Span], now_sample: int, first: int = 1) -> list[str]:
        """The rows of turns that are not empty, numbered from `first`."""
        ends = ((span, now_sample if span.end_sample is None else span.end_sample) for span in spans)
        lasting = [(span, end) for span, end in ends if end > span.start_sample]
        return [self.row(span, end, number) for number, (span, end) in enumerate(lasting, first)]

    def _begin_anew(self, event: Renamed) -> None:
        """A name changes in everything that was written: another file replaces this one, complete at every moment."""
        past = Timeline()
        past.spans = self._committed
        past.hear(event)
        self._committed = past.spans
        now = self._timeline.now_sample
        content = self.HEAD.encode() + _bytes(self._rows(self._committed, now))
        rest = sorted(self._timeline.everything(), key=lambda span: (span.start_sample, span.turn))
        tail = _bytes(self._rows(rest, now, self._count + 1))
        with replacing(self.path) as new:
            new.write_bytes(content + tail)
        with named(self.path):
            assert self._file is not None
            self._file.close()
            self._file = self.path.open("r+b", buffering=0)
        self._offset, self._tail = len(content), len(tail)


def _bytes(rows: Iterable[str]) -> bytes:
    return "".join(rows).encode()


def _write_all(file: io.FileIO, content: bytes) -> None:
    """Write all bytes: an almost full disk takes a part, and reports the error at the next write."""
    while content:
        content = content[file.write(content) or 0 :]

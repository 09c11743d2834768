"""Events as JSON lines, each written out at once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from streamer.output import check_writable, named
from streamer.sinks.base import SessionView, Sink
from streamer.sinks.text import carries_unicode
from streamer.speakers.events import Event

if TYPE_CHECKING:
    from streamer.engine.window import Step


class JsonLines(Sink):
    """One JSON object a line, the protocol's events: see `Event.to_dict`.

    file: an open text file, which stays open; or a path: the file is written from the first event or step on, and
    keeps its previous content until then. Raises OSError, with the path, if it cannot be written.
    """

    def __init__(self, file: TextIO | str | os.PathLike[str]) -> None:
        self.path = Path(file) if isinstance(file, str | os.PathLike) else None
        self._file = None if isinstance(file, str | os.PathLike) else file
        self._name = str(getattr(file, "name", file))
        if self.path is not None:
            check_writable(self.path)

    def event(self, event: Event, session: SessionView) -> None:
        line = json_line(event.to_dict(), self._opened())
        with named(self._name):
            self._opened().write(line)
            self._opened().flush()

    def step(self, step: Step, session: SessionView) -> None:
        self._opened()

    def close(self, session: SessionView) -> None:
        if self.path is not None and self._file is not None:
            with named(self._name):
                self._file.close()

    def _opened(self) -> TextIO:
        if self._file is None:
            assert self.path is not None
            self._file = self.path.open("w", encoding="utf-8")
        return self._file


def json_line(message: dict[str, Any], file: TextIO) -> str:
    """A message as a line for this file: characters outside its encoding are escaped, so that none is lost."""
    return json.dumps(message, ensure_ascii=not carries_unicode(file)) + "\n"

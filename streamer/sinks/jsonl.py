"""Events as JSON lines, each written out at once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TextIO

from streamer.sinks.base import Sink
from streamer.speakers.events import Event

if TYPE_CHECKING:
    from streamer.session import Session


class JsonLines(Sink):
    """One JSON object a line, the protocol's events: see `Event.to_dict`."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def event(self, event: Event, session: Session) -> None:
        self._file.write(json.dumps(event.to_dict(), ensure_ascii=False) + "\n")
        self._file.flush()

"""The server's log: one JSON object a line, one line a session.

It never holds a token, the name of a speaker, or audio.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any, TextIO

logger = logging.getLogger("streamer.server")

# `websockets` logs whole requests at DEBUG, tokens included, and a traceback for each port scan at ERROR.
wire_logger = logging.getLogger("streamer.server.wire")
wire_logger.setLevel(logging.CRITICAL)


class JsonLines(logging.Formatter):
    """A record's message is the name of what happened; its `about` (a dict) goes beside it."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "about", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure(level: str, stream: TextIO) -> None:
    """Write the server's log to `stream`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False


def say(event: str, *, level: int = logging.INFO, exc_info: bool = False, **about: Any) -> None:
    """Log that `event` happened, with what is worth knowing about it."""
    logger.log(level, event, extra={"about": about}, exc_info=exc_info)

"""The server's log: JSON objects, one a line, and one line for each session.

It never holds a token, the name of a speaker, or audio.
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TextIO

logger = logging.getLogger("streamer.server")

# `websockets` logs whole requests at DEBUG, including tokens, and a traceback for each port scan at ERROR.
wire_logger = logging.getLogger("streamer.server.websocketpeer")
wire_logger.setLevel(logging.CRITICAL)


# Most characters of a library's message.
LONGEST = 500


class JsonFormatter(logging.Formatter):
    """A record's message is the name of an event; its `about` (a dict) adds fields."""

    def format(self, record: logging.LogRecord) -> str:
        ours = record.name.startswith(logger.name)
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage() if ours else record.name,
            **({} if ours else {"message": record.getMessage()[:LONGEST]}),
            **getattr(record, "about", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class Seldom(logging.Filter):
    """Lets each message of a library pass once in `every_s`, so that one that comes for each client can't fill a disk.

    The next message that passes has the number of those that did not (`repeated`). clock: seconds.
    """

    def __init__(self, every_s: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._every_s, self._clock = every_s, clock
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        key, now = (record.name, str(record.msg)), self._clock()
        last, held = self._seen.get(key, (-math.inf, 0))
        if now - last < self._every_s:
            self._seen[key] = (last, held + 1)
            return False
        if len(self._seen) > 1000:
            self._seen.clear()
        self._seen[key] = (now, 0)
        if held:
            record.about = {"repeated": held}
        return True


def configure(level: str, stream: TextIO) -> None:
    """Write the server's log to `stream`, and in the same format the messages of libraries (asyncio, Python's
    warnings), from `warning` on, and the errors of threads."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
    others = logging.StreamHandler(stream)
    others.setFormatter(JsonFormatter())
    others.setLevel(logging.WARNING)
    others.addFilter(Seldom())
    logging.getLogger().handlers[:] = [others]
    logging.captureWarnings(True)
    threading.excepthook = _thread_failed


def _thread_failed(arguments: threading.ExceptHookArgs) -> None:
    name = arguments.thread.name if arguments.thread is not None else "?"
    if arguments.exc_value is not None:
        about = {"thread": name}
        logger.critical("thread failed", exc_info=arguments.exc_value, extra={"about": about})


def say(event: str, *, level: int = logging.INFO, exc_info: bool = False, **about: Any) -> None:
    """Log the event `event` with further fields."""
    logger.log(level, event, extra={"about": about}, exc_info=exc_info)

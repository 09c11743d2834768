"""Signals that reliably end the process: in order within the grace period, and by force after it.

Python's own handlers run between two steps of the main thread, even if the event loop is blocked by one of them;
asyncio's would wait for the loop. A separate thread measures the grace period. A handler takes no
lock, since the main thread may hold it: it writes a byte into a pipe.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

#: The exit code of a process that could not end in order, or in time.
EXIT_FORCED = 70

ENDING = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """Handles SIGTERM, SIGINT and SIGHUP, until `release`; after the first stop signal, further ones change nothing.

    stop: called on the loop, once. reload: called on the loop for SIGHUP.
    grace_s: how long stopping may take. force: called in a thread after that time; None: nothing happens.
    """

    def __init__(
        self,
        stop: Callable[[], None],
        reload: Callable[[], None],
        grace_s: float,
        force: Callable[[], None] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop, self._reload = stop, reload
        self._grace_s = grace_s
        self._force = force
        self._stopping = False
        self._before: dict[int, Any] = {}
        self._pipe = os.pipe()

    def heed(self) -> None:
        if self._force is not None:
            threading.Thread(target=self._count, name="streamer-grace", daemon=True).start()
        hangup = getattr(signal, "SIGHUP", None)
        for number in (*ENDING, *([] if hangup is None else [hangup])):
            with contextlib.suppress(ValueError):  # not in the main thread: the caller handles signals
                self._before[number] = signal.signal(number, self._handle)

    def release(self) -> None:
        """Restore the previous handlers, and stop the grace period."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
        for end in reversed(self._pipe):
            os.close(end)

    def begin_to_stop(self) -> None:
        """Start the grace period, if it has not started yet."""
        if not self._stopping:
            self._stopping = True
            os.write(self._pipe[1], b"!")

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._stopping:
            return
        if number in ENDING:
            self.begin_to_stop()
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server has stopped
            self._loop.call_soon_threadsafe(self._stop if number in ENDING else self._reload)

    def _count(self) -> None:
        assert self._force is not None
        if os.read(self._pipe[0], 1):
            select.select([], [], [], self._grace_s)
            self._force()


def end_process() -> None:
    """End the process now, whatever its threads do."""
    # Not through the log, whose lock may be held for ever.
    os.write(2, b'{"level":"error","event":"stopped by force"}\n')
    os._exit(EXIT_FORCED)

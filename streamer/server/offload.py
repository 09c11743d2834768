"""Work whose cost grows with the number of people, kept off the event loop.

Scoring a voice against a hundred thousand is one matrix product of some milliseconds. numpy lets other threads run
meanwhile, so that one thread does it for all streams, in the order of asking; what waits for it is done together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from streamer.speakers.asking import answered, answered_together
from streamer.speakers.candidates import Asking

T = TypeVar("T")

#: Up to so many people it costs less to do it at once than to ask another thread.
FEW_PEOPLE = 256
#: So many trackers are at work together at most: the first of them waits for the last.
TOGETHER = 20

Waiting = tuple[Asking[Any], asyncio.Future[Any]]


class Offload:
    """Runs calls in a thread of its own, one after the other. Belongs to one event loop."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="streamer-tracking")
        self._waiting: deque[Waiting] = deque()
        self._called = False

    async def run(self, people: int, call: Callable[[], T]) -> T:
        """What `call` returns, whose cost grows with the number of `people`.

        Cancelled, the call is made all the same if it has begun.
        """
        if people <= FEW_PEOPLE:
            return call()
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    async def track(self, people: int, asking: Asking[T]) -> T:
        """What comes of a tracker's work, its questions answered together with those of others that wait.

        Cancelled, the work is done all the same if it has begun. A tracker must not have two waiting.
        """
        if people <= FEW_PEOPLE:
            return answered(asking)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append((asking, future))
        if not self._called:
            # The engine's batch wakes its streams one after the other: they are to be together here as well.
            self._called = True
            loop.call_soon(self._call, loop)
        return await future

    def _call(self, loop: asyncio.AbstractEventLoop) -> None:
        self._called = False
        for _ in range(0, len(self._waiting), TOGETHER):
            self._pool.submit(self._work, loop)

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        """In the thread: what waits by now, as far as it is taken together."""
        taken: list[Waiting] = []
        while self._waiting and len(taken) < TOGETHER:
            taken.append(self._waiting.popleft())
        taken = [waiting for waiting in taken if not waiting[1].done()]
        outcomes = answered_together([asking for asking, _ in taken])
        done = [(future, outcome) for (_, future), outcome in zip(taken, outcomes, strict=True)]
        if done:
            loop.call_soon_threadsafe(_resolve, done)

    def close(self) -> None:
        """What has not begun will not be done."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _resolve(done: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, outcome in done:
        if future.done():
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

"""Work whose cost grows with the number of people, kept off the event loop.

Scoring a voice against a hundred thousand is one matrix product of some milliseconds. numpy lets other threads run
meanwhile, so one thread does it for all streams, in order; requests that wait for it are combined.
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

#: Up to this number of people, it is cheaper to do the work at once than in another thread.
FEW_PEOPLE = 256
#: The most trackers in one combined call: the first of them waits for the last.
TOGETHER = 20

Waiting = tuple[Asking[Any], asyncio.Future[Any]]


class Offload:
    """Runs calls in a separate thread, one after the other. Belongs to one event loop."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="streamer-tracking")
        self._waiting: deque[Waiting] = deque()
        self._called = False

    async def run(self, people: int, call: Callable[[], T]) -> T:
        """The result of `call`, whose cost grows with the number of `people`.

        Cancellation does not stop a call that has begun.
        """
        if people <= FEW_PEOPLE:
            return call()
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    async def track(self, people: int, asking: Asking[T]) -> T:
        """The result of a tracker's work; its questions are answered together with those of others that wait.

        Cancellation does not stop work that has begun. A tracker must not have two requests waiting.
        """
        if people <= FEW_PEOPLE:
            return answered(asking)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append((asking, future))
        if not self._called:
            # The engine's batch wakes its streams one after the other: wait until all of them are here.
            self._called = True
            loop.call_soon(self._call, loop)
        return await future

    def _call(self, loop: asyncio.AbstractEventLoop) -> None:
        self._called = False
        for _ in range(0, len(self._waiting), TOGETHER):
            self._pool.submit(self._work, loop)

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        """In the thread: process the waiting requests, up to the limit."""
        taken: list[Waiting] = []
        while self._waiting and len(taken) < TOGETHER:
            taken.append(self._waiting.popleft())
        taken = [waiting for waiting in taken if not waiting[1].done()]
        outcomes = answered_together([asking for asking, _ in taken])
        done = [(future, outcome) for (_, future), outcome in zip(taken, outcomes, strict=True)]
        if done:
            loop.call_soon_threadsafe(_resolve, done)

    def close(self) -> None:
        """Drop requests that have not begun."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _resolve(done: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, outcome in done:
        if future.done():
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

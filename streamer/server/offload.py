"""Work whose cost grows with the number of people, kept off the event loop.

Scoring a voice against a hundred thousand is one matrix product of some milliseconds. numpy lets other threads run
meanwhile, so that one thread does it for all streams, in the order of asking.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

#: Up to so many people it costs less to do it at once than to ask another thread.
FEW_PEOPLE = 256


class Offload:
    """Runs calls in a thread of its own, one after the other."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="streamer-tracking")

    async def run(self, people: int, call: Callable[[], T]) -> T:
        """What `call` returns, whose cost grows with the number of `people`.

        Cancelled, the call is made all the same if it has begun.
        """
        if people <= FEW_PEOPLE:
            return call()
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def close(self) -> None:
        """What has not begun will not be done."""
        self._pool.shutdown(wait=False, cancel_futures=True)

"""The way out to one client: a bounded queue and the task that empties it.

Whoever decides something puts a message here and goes on; only this task waits for the network. A client that does not
read fills the queue, or keeps one message waiting too long, and is cut off: its events stay with the session, so it may
come back for them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

from websockets.exceptions import ConnectionClosed

from streamer import protocol
from streamer.server.peer import Peer

# How long a closing handshake may take before the socket is dropped.
CLOSE_TIMEOUT_S = 2.0


class SendQueue:
    """The outgoing half of a connection.

    capacity: bytes that may wait. timeout_s: how long one message may wait for the network. resume: whether a client
    that is cut off may come back.
    """

    def __init__(self, connection: Peer, capacity: int, timeout_s: float, *, resume: bool = True) -> None:
        self._resume = resume
        self._connection = connection
        self._capacity = capacity
        self._timeout_s = timeout_s
        self._waiting: deque[str] = deque()
        self._size = 0
        self._wake = asyncio.Event()
        self._close: tuple[int, str] | None = None
        self._task = asyncio.create_task(self._run())

    def put(self, text: str) -> None:
        """Send a message after those before it; none once the link is closing."""
        if self._close is not None:
            return
        self._waiting.append(text)
        self._size += len(text)
        if self._size > self._capacity:
            self._cut_off()
        self._wake.set()

    def close(self, code: int, reason: str) -> None:
        """Close the connection once everything put before is sent."""
        if self._close is None:
            self._close = (code, reason)
            self._wake.set()

    async def finished(self, timeout_s: float | None = None) -> None:
        """Wait until the connection is closed by this side, or for so long."""
        await asyncio.wait([self._task], timeout=timeout_s)

    async def abandon(self) -> None:
        """Drop the connection now, sent or not."""
        self._task.cancel()
        self._connection.abort()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            while True:
                while self._waiting:
                    text = self._waiting.popleft()
                    self._size -= len(text)
                    async with asyncio.timeout(self._timeout_s):
                        await self._connection.send(text)
                if self._close is not None:
                    return await self._shut(*self._close)
                self._wake.clear()
                await self._wake.wait()
        except ConnectionClosed:
            return
        except TimeoutError:
            self._cut_off()
            # The socket is full: what is written now waits behind it, and is read only if the client wakes up in time.
            with suppress(TimeoutError, ConnectionClosed):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._connection.send(self._waiting.popleft())
            await self._shut(1008, "slow_reader")

    async def _shut(self, code: int, reason: str) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                return await self._connection.close(code, reason)
        self._connection.abort()

    def _cut_off(self) -> None:
        self._waiting.clear()
        self._size = 0
        way = "connect again and resume" if self._resume else "begin anew"
        goodbye = {
            "type": "goodbye",
            "reason": "slow_reader",
            "resume": self._resume,
            "message": f"Events were not read fast enough; {way}.",
        }
        self._waiting.append(protocol.write(goodbye))
        self._close = (1008, "slow_reader")

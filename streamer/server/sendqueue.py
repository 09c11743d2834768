"""The outgoing messages of one client: a bounded queue, and the task that empties it.

Other code only puts messages into the queue; this task alone waits for the network. A client that does not
read fills the queue, or delays one message too long, and is disconnected: its events stay with the session, so it can
resume.
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
    that is disconnected may resume.
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
        """Send a message after the previous ones; does nothing once the connection is closing."""
        if self._close is not None:
            return
        self._waiting.append(text)
        self._size += len(text)
        if self._size > self._capacity:
            self._cut_off()
        self._wake.set()

    def close(self, code: int, reason: str) -> None:
        """Close the connection after all queued messages are sent."""
        if self._close is None:
            self._close = (code, reason)
            self._wake.set()

    async def finished(self, timeout_s: float | None = None) -> None:
        """Wait until this side has closed the connection, up to this time."""
        await asyncio.wait([self._task], timeout=timeout_s)

    async def abandon(self) -> None:
        """Drop the connection now, with unsent messages."""
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
            # The socket is full: this message waits behind the others, and is read only if the client reads in time.
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
        way = "connect again and resume" if self._resume else "start a new session"
        goodbye = {
            "type": "goodbye",
            "reason": "slow_reader",
            "resume": self._resume,
            "message": f"Events were not read fast enough; {way}.",
        }
        self._waiting.append(protocol.write(goodbye))
        self._close = (1008, "slow_reader")

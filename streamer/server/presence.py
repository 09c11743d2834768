"""The current connection of a session: one, or none."""

from __future__ import annotations

import asyncio

from streamer.server.peer import Peer
from streamer.server.sendqueue import SendQueue


class Presence:
    """Whether a client is connected, and over which connection; at most one at a time.

    silence_s: a connection without any data for this long, not even an answer to a ping, is half open.
    hearing: the engine is taking audio of the client.
    """

    def __init__(self, silence_s: float) -> None:
        self.queue: SendQueue | None = None
        self.connection: Peer | None = None
        self.hearing = False
        self._reading = False
        self._silence_s = silence_s
        self._alone = asyncio.Event()
        self._alone.set()

    def arrive(self, connection: Peer, queue: SendQueue) -> None:
        self._alone.clear()
        self.connection, self.queue = connection, queue

    async def read(self, connection: Peer) -> str | bytes:
        """The client's next frame."""
        self._reading = True
        frame = await connection.recv()
        self._reading = False
        return frame

    def leave(self) -> None:
        """Stop using the connection; it may take a while until it is `gone`."""
        self.queue = self.connection = None
        self.hearing = self._reading = False

    def gone(self) -> None:
        """The connection is closed: another one may come."""
        self._alone.set()

    @property
    def alone(self) -> bool:
        return self._alone.is_set()

    async def wait_alone(self) -> None:
        await self._alone.wait()

    def look(self, now: float) -> None:
        """Drop a half-open connection. (While a fast client is paced, nothing of it is read.)"""
        if self.connection is not None and self._reading and now - self.connection.heard_at > self._silence_s:
            self.connection.abort()

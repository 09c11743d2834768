"""A WebSocket of an ASGI server as a `Peer`. https://asgi.readthedocs.io/en/latest/specs/www.html#websocket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK
from websockets.frames import Close
from websockets.http11 import Request

from streamer.server.door import client_address

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

GOING_AWAY = 1001
ABNORMAL = 1006


def request_of(scope: Scope) -> Request:
    """The request line and headers of an ASGI connection. Its query is kept, since it must not contain secrets."""
    headers = Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]])
    query = scope.get("query_string", b"").decode("latin-1")
    path = scope["path"] + (f"?{query}" if query else "")
    return Request(path, headers, method=scope.get("method", "GET"))


class AsgiPeer:
    """A `streamer.server.peer.Peer`. The ASGI server handles sockets, pings and limits of connections."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.loop = asyncio.get_running_loop()
        self.request: Request | None = request_of(scope)
        self.address = client_address(scope.get("client"))
        self.counted = self.spare = False
        self._close_sent: Close | None = None
        self._close_received: Close | None = None
        self._received_first = False
        self._receive = receive
        self._put = send
        self._reading: asyncio.Task[Mapping[str, Any]] | None = None
        self._gone = asyncio.Event()
        self._sending = asyncio.Lock()

    @property
    def heard_at(self) -> float:
        """Always now: the ASGI server watches the socket."""
        return self.loop.time()

    @property
    def left(self) -> bool:
        """Whether the client closed first, and as intended."""
        received = self._close_received
        return received is not None and received.code == 1000 and self._received_first

    def allow(self, seconds: float | None) -> None:
        """Does nothing: the ASGI server limits the time of its clients."""

    async def accept(self, subprotocol: str | None) -> bool:
        """Accept the connection; returns whether the client is still there."""
        first = await self._receive()
        if first["type"] != "websocket.connect":
            return False
        await self._put({"type": "websocket.accept", "subprotocol": subprotocol})
        return True

    async def recv(self) -> str | bytes:
        """The next message. Raises ConnectionClosed. Cancellation loses nothing."""
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._receive())
        gone = asyncio.ensure_future(self._gone.wait())
        try:
            await asyncio.wait({self._reading, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
        if not self._reading.done():
            raise self._closed()
        message, self._reading = self._reading.result(), None
        if message["type"] == "websocket.receive":
            content: str | bytes = message["bytes"] if message.get("text") is None else message["text"]
            return content
        self._close_received = Close(message.get("code") or ABNORMAL, message.get("reason") or "")
        self._received_first = self._close_sent is None
        self._gone.set()
        raise self._closed()

    async def send(self, message: str, /) -> None:
        """Raises ConnectionClosed."""
        async with self._sending:
            if self._gone.is_set() or self._close_sent is not None:
                raise self._closed()
            await self._put({"type": "websocket.send", "text": message})

    async def close(self, code: int = 1000, reason: str = "") -> None:
        async with self._sending:
            if not self._gone.is_set() and self._close_sent is None:
                self._close_sent = Close(code, reason)
                await self._put({"type": "websocket.close", "code": code, "reason": reason})
        self._gone.set()

    def abort(self) -> None:
        """Stop reading and sending."""
        self._gone.set()

    async def leave(self) -> None:
        """The room has finished with it."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self.close(GOING_AWAY)

    def _closed(self) -> ConnectionClosedOK | ConnectionClosedError:
        known = self._close_received
        kind = ConnectionClosedOK if known is not None and known.code in (1000, 1001) else ConnectionClosedError
        return kind(known, self._close_sent, None if known is None else self._received_first)

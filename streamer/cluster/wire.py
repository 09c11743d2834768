"""A WebSocket of an ASGI server, as the rooms see one: https://asgi.readthedocs.io/en/latest/specs/www.html#websocket"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK
from websockets.frames import Close
from websockets.http11 import Request

from streamer.server.door import client_address
from streamer.server.wire import Wire

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

GOING_AWAY = 1001
ABNORMAL = 1006


def request_of(scope: Scope) -> Request:
    """The request line and headers of an ASGI connection. Its query is kept, since nothing secret may stand there."""
    headers = Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]])
    query = scope.get("query_string", b"").decode("latin-1")
    path = scope["path"] + (f"?{query}" if query else "")
    return Request(path, headers, method=scope.get("method", "GET"))


class _Ending:
    """What rooms ask of a connection's protocol: who closed it, and how."""

    def __init__(self) -> None:
        self.close_sent: Close | None = None
        self.close_rcvd: Close | None = None
        self.close_rcvd_then_sent: bool | None = None


class AsgiWire(Wire):
    """Sockets, pings and limits of connections are the ASGI server's; of `Wire` it has what a room uses."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.loop = asyncio.get_running_loop()
        self.request = request_of(scope)
        self.address = client_address(scope.get("client"))
        self.counted = self.spare = False
        self.transport = self  # type: ignore[assignment]
        self.protocol = _Ending()  # type: ignore[assignment]
        self._receive = receive
        self._put = send
        self._reading: asyncio.Task[Mapping[str, Any]] | None = None
        self._gone = asyncio.Event()
        self._sending = asyncio.Lock()

    @property
    def heard_at(self) -> float:  # type: ignore[override]
        """The server in front watches over the socket."""
        return self.loop.time()

    def allow(self, seconds: float | None) -> None:
        """How long its client may take is the server's in front."""

    async def accept(self, subprotocol: str | None) -> bool:
        """Open it; whether there is anybody."""
        first = await self._receive()
        if first["type"] != "websocket.connect":
            return False
        await self._put({"type": "websocket.accept", "subprotocol": subprotocol})
        return True

    async def recv(self, decode: bool | None = None) -> Any:
        """The next message. Raises ConnectionClosed. Cancelled, nothing is lost."""
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
            text = message.get("text")
            return message["bytes"] if text is None else text
        ending: Any = self.protocol
        ending.close_rcvd = Close(message.get("code") or ABNORMAL, message.get("reason") or "")
        ending.close_rcvd_then_sent = ending.close_sent is None
        self._gone.set()
        raise self._closed()

    async def send(self, message: Any, text: bool | None = None) -> None:
        """Raises ConnectionClosed."""
        async with self._sending:
            if self._gone.is_set() or self.protocol.close_sent is not None:
                raise self._closed()
            kind = "text" if isinstance(message, str) else "bytes"
            await self._put({"type": "websocket.send", kind: message})

    async def close(self, code: int = 1000, reason: str = "") -> None:
        async with self._sending:
            ending: Any = self.protocol
            if not self._gone.is_set() and ending.close_sent is None:
                ending.close_sent = Close(code, reason)
                await self._put({"type": "websocket.close", "code": code, "reason": reason})
        self._gone.set()

    def abort(self) -> None:
        """Of the transport: nothing more is read or said."""
        self._gone.set()

    async def leave(self) -> None:
        """The room is done with it."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self.close(GOING_AWAY)

    def _closed(self) -> ConnectionClosedOK | ConnectionClosedError:
        ending: Any = self.protocol
        known = ending.close_rcvd
        kind = ConnectionClosedOK if known is not None and known.code in (1000, 1001) else ConnectionClosedError
        return kind(ending.close_rcvd, ending.close_sent, ending.close_rcvd_then_sent)

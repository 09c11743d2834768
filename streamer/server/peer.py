"""A connection as rooms see it: a WebSocket of this server, one of an ASGI server, or a call."""

from __future__ import annotations

from typing import Protocol

from websockets.http11 import Request


class Peer(Protocol):
    """The interface that a room needs from a connection.

    `recv`, `send` and `close` raise `ConnectionClosed` of websockets once it is closed.

    request: the request that opened it; None if there was none. address: of the client.
    """

    request: Request | None
    address: str

    @property
    def heard_at(self) -> float:
        """When bytes last arrived, in seconds on the event loop's clock."""
        ...

    @property
    def left(self) -> bool:
        """Whether the client closed the connection first, and as intended (code 1000)."""
        ...

    async def recv(self) -> str | bytes: ...

    async def send(self, message: str, /) -> None: ...

    async def close(self, code: int, reason: str) -> None: ...

    def abort(self) -> None:
        """Drop the connection now, without a closing handshake."""
        ...

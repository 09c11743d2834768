"""The server's side of one WebSocket, which records when data last arrived."""

from __future__ import annotations

import asyncio
from typing import Any

from websockets.asyncio.server import ServerConnection

from streamer.server.door import Door


class WebSocketPeer(ServerConnection):
    """A connection that came through the door.

    heard_at: when bytes last arrived, on the loop's clock. address, spare: see `Door`.
    """

    def __init__(self, door: Door, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.address, self.spare = door.address, door.spare
        self._door = door

    @property
    def left(self) -> bool:
        """Whether the client closed first, and as intended."""
        received = self.protocol.close_rcvd
        return received is not None and received.code == 1000 and bool(self.protocol.close_rcvd_then_sent)

    def abort(self) -> None:
        """Drop the connection now, without a closing handshake."""
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.heard_at = self.loop.time()
        # From here on the time limit of the handshake applies, and after it that of the session.
        self._door.allow(None)

    def data_received(self, data: bytes) -> None:
        self.heard_at = self.loop.time()
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._door.leave()
        super().connection_lost(exc)

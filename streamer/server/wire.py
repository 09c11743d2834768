"""The server's side of one socket: counted against the limits, and with a note of when it was last heard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from websockets.asyncio.server import ServerConnection

from streamer.server.admission import Admission

# How long a spare connection may take, from its first byte to its last.
SPARE_S = 2.0


class Wire(ServerConnection):
    """A connection that is dropped at once where there are too many, before any byte of it is read.

    heard_at: when bytes last came, on the loop's clock. spare: it is one of the few beyond the limit that may ask how
    the server does.
    """

    admission: Admission
    refused: Callable[[], None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.heard_at = self.loop.time()
        self.address = client_address(transport.get_extra_info("peername"))
        self.counted = self.admission.connect(self.address)
        self.spare = not self.counted and self.admission.connect_spare(self.address)
        if self.spare:
            self._too_long = self.loop.call_later(SPARE_S, self.transport.abort)
        elif not self.counted:
            self.refused()
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self.heard_at = self.loop.time()
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.counted:
            self.counted = False
            self.admission.disconnect(self.address)
        if self.spare:
            self.spare = False
            self._too_long.cancel()
            self.admission.disconnect_spare(self.address)
        super().connection_lost(exc)


def client_address(peername: Any) -> str:
    """The host of a socket's peer; IPv6 clients are told apart by their /64, which is what one customer has."""
    host = str(peername[0]) if isinstance(peername, tuple) and peername else "unknown"
    if ":" not in host:
        return host
    from ipaddress import IPv6Address, ip_network

    try:
        address = IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address) if address.is_loopback else str(ip_network((address, 64), strict=False))

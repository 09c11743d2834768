"""Accepts connections: the first line says whether a connection is a WebSocket or plain HTTP, and which part serves it.

`websockets` serves a WebSocket (see `streamer.server.websocketpeer`), and uvicorn's HTTP with the routes of
`streamer.server.http` everything else. Connections are counted here, before any byte of them is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from streamer import protocol
from streamer.server import log, twilio
from streamer.server.admission import Admission
from streamer.server.config import ServerConfig

#: How long a spare connection may take, from its first byte to its last.
SPARE_S = 2.0
#: The longest first line to wait for; its reader has further limits.
LINE_BYTES = 8192


class Door(asyncio.Protocol):
    """A connection until its first line has arrived; then `wire` or `plain` makes the protocol that serves it.

    address: of the client, see `client_address`. spare: whether it is beyond the limit, and may only ask for the
    server's state. protocol: the protocol object of `websockets`, which asks this class for it.
    """

    def __init__(
        self,
        config: ServerConfig,
        admission: Admission,
        refused: Callable[[], None],
        wire: Callable[[Door], asyncio.Protocol],
        plain: Callable[[Door], asyncio.Protocol],
        sans_io: object = None,
    ) -> None:
        self.protocol = sans_io
        self.address = "unknown"
        self.spare = self.counted = False
        self._sockets = {protocol.PATH, twilio.PATH} if config.twilio_webhook else {protocol.PATH}
        self._patience_s = config.hello_timeout_s
        self._admission = admission
        self._refused = refused
        self._wire, self._plain = wire, plain
        self._head = b""
        self._transport: asyncio.Transport
        self._too_long: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.address = client_address(transport.get_extra_info("peername"))
        self.counted = self._admission.connect(self.address)
        self.spare = not self.counted and self._admission.connect_spare(self.address)
        if not self.counted and not self.spare:
            self._refused()
            transport.abort()
        else:
            self.allow(self._patience_s)

    def data_received(self, data: bytes) -> None:
        self._head += data
        if b"\n" not in self._head and len(self._head) < LINE_BYTES:
            return
        head, self._head = self._head, b""
        inner = self._wire(self) if self._wants_socket(head) else self._plain(self)
        self._transport.set_protocol(inner)
        inner.connection_made(self._transport)
        inner.data_received(head)

    def connection_lost(self, exc: Exception | None) -> None:
        self.leave()

    def allow(self, seconds: float | None) -> None:
        """Drop the connection after this time from now on. None: no limit."""
        if self._too_long is not None:
            self._too_long.cancel()
        if self.spare:
            seconds = SPARE_S
        self._too_long = None
        if seconds is not None:
            self._too_long = asyncio.get_running_loop().call_later(seconds, self._transport.abort)

    def leave(self) -> None:
        """The connection is closed: free its place."""
        if self._too_long is not None:
            self._too_long.cancel()
        if self.counted:
            self.counted = False
            self._admission.disconnect(self.address)
        if self.spare:
            self.spare = False
            self._admission.disconnect_spare(self.address)

    def _wants_socket(self, head: bytes) -> bool:
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        return method == b"GET" and path.decode("latin-1") in self._sockets


class Plain(H11Protocol):
    """A connection of plain HTTP: one request, whose scope has the door in its `state`."""

    def __init__(self, door: Door, config: Config, state: ServerState) -> None:
        super().__init__(config, state, {"door": door})
        self._door = door
        # uvicorn would log a warning for each port scan.
        self.logger = log.wire_logger

    def connection_lost(self, exc: Exception | None) -> None:
        self._door.leave()
        super().connection_lost(exc)


class Plains:
    """All plain connections of a server, served by one ASGI application."""

    def __init__(self, application: Any) -> None:
        # Other parts of the server do what uvicorn would do (its log, WebSockets, signals, workers).
        self._config = Config(application, log_config=None, access_log=False, ws="none", lifespan="off", http="h11")
        self._config.load()
        self._state = ServerState()

    def __call__(self, door: Door) -> Plain:
        return Plain(door, self._config, self._state)

    def __len__(self) -> int:
        return len(self._state.connections)

    async def finish(self, timeout_s: float) -> None:
        """Wait until all requests are answered, up to this time."""
        if self._state.tasks:
            await asyncio.wait(set(self._state.tasks), timeout=timeout_s)

    async def close(self) -> None:
        """Drop the remaining connections; their requests are cancelled as if the client had left."""
        for connection in list(self._state.connections):
            connection.transport.abort()
        await self.finish(5.0)


def client_address(peername: Any) -> str:
    """The host of a socket's peer; for IPv6 its /64, which belongs to one customer."""
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

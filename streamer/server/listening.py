"""The port: accepts sockets, each through a `Door` that detects its kind."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from websockets.asyncio.server import Server as SocketServer
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import NegotiationError
from websockets.typing import Subprotocol

from streamer import protocol
from streamer.server import log
from streamer.server.admission import Admission
from streamer.server.config import ServerConfig
from streamer.server.door import Door, Plains
from streamer.server.gate import Gate
from streamer.server.peer import Peer
from streamer.server.websocketpeer import WebSocketPeer


async def listen(
    handle: Callable[[Peer], Awaitable[None]],
    config: ServerConfig,
    gate: Gate,
    tls: ssl.SSLContext | None,
    admission: Admission,
    plains: Plains,
    refused: Callable[[], None],
) -> SocketServer:
    """Begin to accept. handle: serves a WebSocket to its end. refused: called for each socket over the limit.

    Raises OSError for a port that is taken.
    """

    def door(sans_io: Any, *arguments: Any, **options: Any) -> Door:
        """Replaces a connection of `websockets`, and makes one for a WebSocket."""
        return Door(
            config,
            admission,
            refused,
            lambda door: WebSocketPeer(door, sans_io, *arguments, **options),
            plains,
            sans_io,
        )

    # A socket in its TLS handshake is not a connection yet, so neither the limits nor the doors see it; some releases
    # of `websockets` do not set these timeouts.
    patience: dict[str, Any] = {}
    if tls is not None:
        patience = {"ssl_handshake_timeout": config.hello_timeout_s, "ssl_shutdown_timeout": 2.0}
    return await serve(
        cast(Callable[[ServerConnection], Awaitable[None]], handle),  # `door` makes only `WebSocketPeer`s
        config.host,
        config.port,
        process_request=gate.process_request,
        select_subprotocol=_select_subprotocol,
        # PCM does not compress, and without compression there are no decompression bombs.
        compression=None,
        server_header=None,
        open_timeout=config.hello_timeout_s,
        ping_interval=config.ping_interval_s,
        # A paced client's pongs wait behind its audio, so the room decides whether it is gone: see Room.tick.
        ping_timeout=None,
        close_timeout=2.0,
        max_size=config.max_message_bytes,
        logger=log.wire_logger,
        create_connection=cast(type[WebSocketPeer], door),
        ssl=tls,
        backlog=1024,
        **patience,
    )


def port_of(sockets: SocketServer) -> int:
    """The port that was bound, also if the system chose it."""
    return int(next(iter(sockets.sockets)).getsockname()[1])


def address(config: ServerConfig, port: int) -> str:
    """The address to open in a browser."""
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"{'https' if config.cert else 'http'}://{host}:{port}/"


def _select_subprotocol(connection: ServerConnection, names: Sequence[Subprotocol]) -> Subprotocol | None:
    if not names:
        return None
    if protocol.SUBPROTOCOL in names:
        return Subprotocol(protocol.SUBPROTOCOL)
    raise NegotiationError(f"the subprotocol here is {protocol.SUBPROTOCOL}")

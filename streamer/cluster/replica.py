"""One replica: a server without sockets, whose connections come from an ASGI server."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Any, cast

from websockets.asyncio.server import Server as SocketServer

from streamer import protocol
from streamer.cluster.asgi import AsgiPeer, Receive, Scope, Send, request_of
from streamer.engine.engine import Engine
from streamer.engine.layers import Precision
from streamer.errors import EngineFailed
from streamer.models.model import Model
from streamer.server.app import Server
from streamer.server.config import ServerConfig
from streamer.server.gate import offered
from streamer.speakers.store import SpeakerStore


class _NoSockets:
    """Replaces the sockets of a server that has none."""

    def close(self, code: int = 1001) -> None:
        """Does nothing."""

    async def wait_closed(self) -> None:
        """Does nothing."""


class Hosted(Server):
    """A `Server` whose sockets belong to an ASGI server."""

    @property
    def port(self) -> int:
        return 0

    @property
    def url(self) -> str:
        return "asgi"

    async def _listen(self) -> SocketServer:
        return cast(SocketServer, _NoSockets())

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection, HTTP or WebSocket, to its end."""
        request = request_of(scope)
        wire = AsgiPeer(scope, receive, send)
        if scope["type"] == "http":
            # `wire` answers the site's questions about the socket of a request.
            through = {**scope, "state": {**scope.get("state", {}), "door": wire}}
            await self.site(through, cast(Any, receive), cast(Any, send))
            return
        response = self._gate.process_request(wire, request)
        if response is not None and response.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
            await send({"type": "websocket.close", "code": 1008, "reason": "refused"})
            return
        if await wire.accept(protocol.SUBPROTOCOL if protocol.SUBPROTOCOL in offered(request) else None):
            try:
                await self.handle(wire)
            finally:
                await wire.leave()


class Replica:
    """The engine, the store and the rooms of one process. As a context manager, it serves."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._stack = AsyncExitStack()
        self.server: Hosted

    async def __aenter__(self) -> Replica:
        config = self._config
        model = await asyncio.to_thread(Model.from_pretrained, config.model)
        precision = cast(Precision, config.precision)
        engine = Engine(model, device=config.device, precision=precision, threads=config.threads or 1)
        store = self._stack.enter_context(await asyncio.to_thread(SpeakerStore, config.store or None))
        await self._stack.enter_async_context(engine)
        self.server = Hosted(config, engine, store)
        await self._stack.enter_async_context(self.server)
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.server.drain()
        await self._stack.aclose()

    def check(self) -> None:
        """Raises EngineFailed if the server cannot continue."""
        if self.server.failure is not None:
            raise EngineFailed(self.server.failure)

    def load(self) -> dict[str, Any]:
        """Streams that hold a slot, and the largest lag of any, in seconds."""
        now = asyncio.get_running_loop().time()
        lags = [
            max(channel.progress.lag_s, channel.progress.waited_s(now))
            for room in self.server.rooms
            for channel in room.channels
        ]
        return {"streams": float(self.server.admission.streams), "lag_s": max(lags, default=0.0)}

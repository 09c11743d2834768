"""A shared room's events as server-sent events: the messages of a WebSocket viewer, for `EventSource` and `curl -N`.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from streamer.server.config import ServerConfig
from streamer.server.door import Door
from streamer.server.http.access import Doorkeeper
from streamer.server.http.racing import while_connected
from streamer.server.stages import Feed, Stage, Stages

#: Keeps proxies from closing a quiet connection.
COMMENT = b": still here\n\n"


class Events:
    """The route of a room's events. refuse: raises Refusal if the server is stopping."""

    def __init__(
        self, config: ServerConfig, doorkeeper: Doorkeeper, stages: Stages, refuse: Callable[[], None]
    ) -> None:
        self._config = config
        self._doorkeeper = doorkeeper
        self._stages = stages
        self._refuse = refuse

    async def watch(self, request: Request) -> Response:
        access = self._doorkeeper.admit(request, "watch", "stream", "admin")
        self._refuse()
        seen = request.headers.get("last-event-id", "")
        after = int(seen) if seen.isascii() and seen.isdecimal() and len(seen) < 16 else 0
        stage = self._stages.find(request.path_params["room"], access)
        return EventStream(stage, after, request.state.door, self._config)


class EventStream(Response):
    """The response: the messages of a room, to its end. after: the last event that the viewer has."""

    media_type = "text/event-stream"

    def __init__(self, stage: Stage, after: int, door: Door, config: ServerConfig) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._stage, self._after, self._door, self._config = stage, after, door, config

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._stage.feed(self._after) as feed:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                await while_connected(receive, self._write(feed, send))
        await send({"type": "http.response.body", "body": b""})

    async def _write(self, feed: Feed, send: Send) -> None:
        while (body := await self._next(feed)) is not None:
            # The time that a message may wait for a viewer that does not read.
            self._door.allow(self._config.send_timeout_s)
            await send({"type": "http.response.body", "body": body, "more_body": True})
            self._door.allow(None)

    async def _next(self, feed: Feed) -> bytes | None:
        try:
            async with asyncio.timeout(self._config.ping_interval_s):
                text = await feed.next()
        except TimeoutError:
            return COMMENT
        if text is None:
            return None
        number = json.loads(text).get("id")
        about = "" if number is None else f"id: {number}\n"
        return f"{about}data: {text}\n\n".encode()

"""A server that only shows one room: for phones in the room, and for a projector.

It serves the page, the overlay and the events of the room on a separate port, with the rules of `Server` for tokens,
origins and limits. It has no engine and no speaker store, so nobody can begin a session, or change who is enrolled.

>>> async with SecondScreen(ServerConfig(port=0), "Weekly", ["door", "window"]) as screen:         # doctest: +SKIP
...     meeting = Meeting(speakers, ["door", "window"], sinks=[screen.sink()])
...     print(screen.page_url)
"""

from __future__ import annotations

import asyncio
import logging
import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

from websockets.asyncio.server import Server as SocketServer

from streamer.audio.chunks import SAMPLE_RATE
from streamer.protocol import Refusal, write
from streamer.server import log, tls
from streamer.server.admission import Admission
from streamer.server.auth import Access
from streamer.server.config import ServerConfig
from streamer.server.door import Plains
from streamer.server.entrance import Entrance
from streamer.server.gate import Gate
from streamer.server.http.viewing import ONLY_VIEWING, viewing
from streamer.server.listening import address, listen, port_of
from streamer.server.metrics import Metrics
from streamer.server.peer import Peer
from streamer.server.replay import numbered
from streamer.server.stages import Stage, Stages
from streamer.sinks.base import SessionView, Sink
from streamer.speakers.events import Event, GapEvent, Overload

if TYPE_CHECKING:
    from streamer.engine.window import Step

#: The owner of the room. No token has this name, so no client can take the room over.
OWNER = Access("the meeting", frozenset())
#: Time between two checks of the viewers, in seconds.
TICK_S = 0.25
#: Time for viewers to receive the end of the room, in seconds.
LEAVE_S = 2.0
#: Samples of the room between two messages about the lag.
STATS_SAMPLES = 2 * SAMPLE_RATE


def room_name(title: str) -> str:
    """The name of a room for URLs, from its title: A to Z, digits, - and _."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_]+", "-", plain).strip("-")[:64].strip("-") or "meeting"


class SecondScreen:
    """Shows one room while the context is open. At its end, viewers receive that the room is closed.

    title: the title for people. channels: the names of its microphones.
    Raises ConfigurationError for an invalid token file or certificate; entering raises OSError for a port that is
    taken.
    """

    def __init__(self, config: ServerConfig, title: str, channels: Sequence[str]) -> None:
        self.config = config
        self.room = room_name(title)
        self._metrics = Metrics()
        self._admission = Admission(0, 0, config.max_connections)
        self._entrance = Entrance(config, self._metrics)
        self._tls = tls.context(config)
        self._clock = asyncio.get_running_loop().time
        self._stages = Stages(config, self._clock)
        self.stage = self._stages.open(self.room, OWNER, title=title, channels=channels)
        self._plains: Plains
        self._sockets: SocketServer
        self._ticking: asyncio.Task[None]

    @property
    def port(self) -> int:
        return port_of(self._sockets)

    @property
    def url(self) -> str:
        return address(self.config, self.port)

    @property
    def page_url(self) -> str:
        """The address to open in a browser."""
        return f"{self.url}?room={self.room}"

    @property
    def overlay_url(self) -> str:
        """The address that shows only the name of the current speaker, for a video."""
        return f"{self.url}overlay?room={self.room}"

    def sink(self, *, live: bool = True) -> Sink:
        """A sink that shows a session here. live: whether audio is processed as time passes: then lag has a meaning."""
        return _OnShow(self._stages, self.stage, live=live)

    async def __aenter__(self) -> SecondScreen:
        identify, admission, config = self._entrance.identify, self._admission, self.config
        self._plains = Plains(viewing(config, self._metrics, identify, self._stages, self.room, admission.open))
        gate = Gate(config, identify, lambda: not admission.draining)
        refused = self._metrics.refused.inc
        self._sockets = await listen(self._handle, config, gate, self._tls, admission, self._plains, refused)
        self._ticking = asyncio.create_task(self._tick(), name="second screen")
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._admission.draining = True
        self._ticking.cancel()
        self._stages.close(self.stage)
        await self.stage.gone(LEAVE_S)
        await self._plains.finish(LEAVE_S)
        self._sockets.close(code=1001)
        await self._plains.close()
        await self._sockets.wait_closed()

    async def _handle(self, connection: Peer) -> None:
        await self._entrance.receive(connection, self._serve)

    async def _serve(self, connection: Peer) -> None:
        first = await self._entrance.first(connection)
        access = self._entrance.access(connection, first.get("token"), "watch", "stream", "admin")
        if first["type"] != "watch":
            raise Refusal("forbidden", *ONLY_VIEWING, fatal=True)
        self._admission.open()
        await self._stages.find(first["room"], access).watch(connection)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            try:
                self._stages.tick(self._clock())
            except Exception:
                log.say("tick failed", level=logging.ERROR, exc_info=True)


class _OnShow(Sink):
    """Numbers the events of a session and shows them, as a server does, with a message about the lag now and then."""

    def __init__(self, stages: Stages, stage: Stage, *, live: bool) -> None:
        self._stages, self._stage, self._live = stages, stage, live
        self._events = self._gaps = self._gap_samples = self._skipped = 0
        self._lag_s = 0.0
        self._told_sample = 0

    def event(self, event: Event, session: SessionView) -> None:
        self._events += 1
        if isinstance(event, GapEvent):
            self._gaps += 1
            self._gap_samples += event.end_sample - event.sample
        elif isinstance(event, Overload):
            self._skipped += event.skipped
        self._stage.show(numbered(self._events, 0, event.to_dict()), keep=True)

    def step(self, step: Step, session: SessionView) -> None:
        self._lag_s = max(self._lag_s, step.lag_s)
        now = session.timeline.now_sample
        if self._live and now - self._told_sample >= STATS_SAMPLES:
            self._stage.show(self._stats(now), keep=False)
            self._told_sample, self._lag_s = now, 0.0

    def close(self, session: SessionView) -> None:
        self._stages.close(self._stage)

    def _stats(self, now_sample: int) -> str:
        return write(
            {
                "type": "stats",
                "lag": round(self._lag_s, 4),
                "queue": round(self._lag_s, 3),  # of what is heard as time goes, so much has come meanwhile
                "received": max(0, now_sample - self._gap_samples),
                "gaps": self._gaps,
                "gap_samples": self._gap_samples,
                "duplicates": 0,
                "skipped": self._skipped,
                "events": self._events,
            }
        )

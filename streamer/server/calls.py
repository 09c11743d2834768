"""Telephone calls: connects Twilio's sockets with rooms, and sends the events of calls to a webhook.

Twilio's socket accepts no events, so the events of all calls go to the operator's server, by one signed webhook. For a
room, a call is a client like any other: `CallPeer` stands for its connection.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from websockets.exceptions import ConnectionClosed, ConnectionClosedOK
from websockets.http11 import Request

from streamer import protocol
from streamer.protocol import Refusal
from streamer.server import log
from streamer.server.auth import Access
from streamer.server.config import ServerConfig
from streamer.server.metrics import Metrics
from streamer.server.pacing import Pacer
from streamer.server.peer import Peer
from streamer.server.rooms import Rooms
from streamer.server.secret import read_secret
from streamer.server.session import MAX_ERRORS
from streamer.server.tracks import Lost
from streamer.server.twilio import Call, Translator
from streamer.sinks.webhook import Webhook

# How long an event waits for others before it is sent: short compared with a step.
EVERY_S = 0.2

Deliver = Callable[[dict[str, Any]], None]


class Calls:
    """All calls of a server.

    Raises ConfigurationError for an invalid webhook or secret file.
    """

    def __init__(self, config: ServerConfig, metrics: Metrics) -> None:
        self._config = config
        self._metrics = metrics
        self._hook = Webhook(
            config.twilio_webhook,
            secret=read_secret("twilio_secret_file", config.twilio_secret_file),
            every_s=EVERY_S,
            close_s=config.grace_s / 3,
        )
        metrics.watch_webhook(lambda: self._hook.statistics)

    async def serve(self, connection: Peer, rooms: Rooms, admit: Callable[[str | None], Access]) -> None:
        """Serve a call from `connected` to its end.

        admit: the access of a token. Raises Refusal, and TimeoutError if no `start` comes in time.
        """
        translator = Translator()
        async with asyncio.timeout(self._config.hello_timeout_s):
            while translator.call is None:
                translator.receive(await connection.recv())
        call = translator.call
        access = admit(call.token)
        room = await rooms.begin(call.settings, access, connection.address)
        about = {"call": call.call, "stream": call.stream, "session": room.session.name}
        log.say("call", stream=call.stream, session=room.session.name, tracks=len(call.tracks))
        self._hook.put({"type": "call_start", **about, "tracks": _names(call), "parameters": call.parameters})

        def deliver(event: dict[str, Any]) -> None:
            self._hook.put({**about, **event})

        line = CallPeer(connection, translator, call, deliver, self._config, self._metrics)
        # A loss on one track alone is an event of the room, so that it is numbered with the others.
        line.tell = lambda lost: room.emit(0 if call.mixed else lost.channel, [_gap(lost, call)])
        try:
            await rooms.serve(room, line, call.settings, access.scopes)
        finally:
            end = {"reason": line.reason, "events": room.session.replay.last, "duplicates": translator.duplicates}
            deliver({"type": "call_end", **end})

    async def close(self) -> None:
        """Send the remaining events, within the grace period."""
        await asyncio.to_thread(self._hook.close)
        if dropped := self._hook.statistics["dropped"]:
            log.say("events of calls dropped", level=logging.WARNING, dropped=dropped, problem=self._hook.problem)


class CallPeer:
    """A call as a room sees it: a `Peer`.

    reason: why it ended, as in `goodbye`. tell: called with the losses of one track alone.
    """

    def __init__(
        self,
        connection: Peer,
        translator: Translator,
        call: Call,
        deliver: Deliver,
        config: ServerConfig,
        metrics: Metrics,
    ) -> None:
        self.reason = "lost"
        self.tell: Callable[[Lost], None] = lambda lost: None
        self._connection = connection
        self._translator = translator
        self._call = call
        self._deliver = deliver
        self._metrics = metrics
        self._waiting: deque[str | bytes] = deque()
        self._closed = asyncio.Event()
        self._errors = 0
        # Fifty chunks a second for each track; other messages must not come faster either.
        self._pace = Pacer(4 * config.max_messages_per_s, 16 * config.max_messages_per_s)
        self.request: Request | None = None
        self.address = connection.address
        # A call cannot be resumed, so for the room every end is intended by the client.
        self.left = True

    @property
    def heard_at(self) -> float:
        return self._connection.heard_at

    async def recv(self) -> str | bytes:
        """The next frame of the protocol. Raises ConnectionClosed after the room has closed the line, not before: audio
        that arrived before a lost connection must be processed."""
        while not self._waiting:
            if self._translator.ended:
                await self._closed.wait()
            if self._closed.is_set():
                raise ConnectionClosedOK(None, None)
            try:
                await self._hear(await self._connection.recv())
            except ConnectionClosed:
                self._take(self._translator.finish())
        return self._waiting.popleft()

    async def send(self, text: str, /) -> None:
        """Send a message of the room to the webhook."""
        message = json.loads(text)
        if message["type"] == "goodbye":
            self.reason = message["reason"]
        elif message["type"] == "error":
            self._deliver(message)
        elif message["type"] in protocol.event_types():
            self._deliver({**message, "track": self._call.track(message["channel"])})

    async def close(self, code: int, reason: str) -> None:
        """End the call for the room."""
        self._closed.set()
        await self._connection.close(code, reason)

    def abort(self) -> None:
        self._closed.set()
        self._connection.abort()

    async def _hear(self, frame: str | bytes) -> None:
        try:
            self._take(self._translator.receive(frame))
        except Refusal as refusal:
            self._mistake(refusal)
        loop = asyncio.get_running_loop()
        if (pause := self._pace.take(1.0, loop.time())) > 0:
            await asyncio.sleep(pause)

    def _take(self, items: list[str | bytes | Lost]) -> None:
        for item in items:
            if isinstance(item, Lost):
                self.tell(item)
            else:
                self._waiting.append(item)

    def _mistake(self, refusal: Refusal) -> None:
        """Report a mistake; too many of them end the call."""
        self._errors += 1
        self._metrics.errors.labels(refusal.code).inc()
        refusal.fatal = refusal.fatal or self._errors >= MAX_ERRORS
        self._deliver(refusal.to_dict())
        if refusal.fatal:
            self._take(self._translator.finish())


def _names(call: Call) -> list[str]:
    """The name of each channel."""
    return ["mixed"] if call.mixed else list(call.tracks)


def _gap(lost: Lost, call: Call) -> dict[str, Any]:
    """The protocol's `gap`, for a track that is missing while the other continues."""
    start, end = 2 * lost.start_sample, 2 * lost.end_sample  # 8 kHz to 16 kHz
    return {
        "type": "gap",
        "time": start / 16_000,
        "sample": start,
        "decided_sample": end,
        "reason": f"{lost.reason}, {call.tracks[lost.channel]} only",
        "end_sample": end,
    }

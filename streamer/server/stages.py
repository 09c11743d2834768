"""Shared rooms: a client that shares its session gives it a name, and viewers get its events as they come.

A viewer sends only `ping`. Like every client it has a bounded queue, and it is disconnected when the queue is full. The
session never waits for a viewer.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from websockets.exceptions import ConnectionClosed

from streamer import protocol
from streamer.errors import ProtocolError
from streamer.protocol import Refusal
from streamer.server.auth import Access
from streamer.server.config import ServerConfig
from streamer.server.pacing import Pacer
from streamer.server.peer import Peer
from streamer.server.sendqueue import SendQueue

#: What is kept of a room for viewers who join late: events, and characters of JSON. The oldest are dropped first.
HISTORY_EVENTS = 2_000
HISTORY_SIZE = 1 << 19


class Feed:
    """A room's messages for one viewer, in a bounded queue.

    capacity: characters that may wait; beyond them the viewer is too slow, and gets only a goodbye.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._waiting: deque[str] = deque()
        self._size = 0
        self._closed = False
        self._wake = asyncio.Event()

    def put(self, text: str) -> None:
        if self._closed:
            return
        self._waiting.append(text)
        self._size += len(text)
        if self._size > self._capacity:
            self._waiting.clear()
            self._waiting.append(_message("goodbye", reason="slow_reader", resume=False, message="Read faster."))
            self._closed = True
        self._wake.set()

    def close(self, code: int, reason: str) -> None:
        """Accept no more messages."""
        self._closed = True
        self._wake.set()

    async def next(self) -> str | None:
        """The next text frame; None at the end."""
        while not self._waiting:
            if self._closed:
                return None
            self._wake.clear()
            await self._wake.wait()
        text = self._waiting.popleft()
        self._size -= len(text)
        return text


class Stage:
    """A shared room.

    owner: `Access.name` of the client that shares it. title: the title for people. channels: the names of its
        microphones, if it is one room with several; see `watching` in the protocol. history: its last events as text
        frames, for late viewers.
    """

    def __init__(
        self,
        name: str,
        owner: str,
        config: ServerConfig,
        clock: Callable[[], float],
        *,
        title: str = "",
        channels: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.owner = owner
        self.closed = False
        self._about: dict[str, Any] = {}
        if title:
            self._about["title"] = title
        if channels:
            self._about["channels"] = list(channels)
        self._history: deque[str] = deque()
        self._size = 0
        self._config = config
        self._clock = clock
        self._viewers: dict[SendQueue | Feed, Peer | None] = {}
        self._nobody = asyncio.Event()
        self._nobody.set()

    @property
    def watchers(self) -> int:
        """The number of viewers."""
        return len(self._viewers)

    def show(self, text: str, *, keep: bool) -> None:
        """Send this text frame to all viewers. keep: also to viewers who join later."""
        for queue in list(self._viewers):
            queue.put(text)
        if not keep:
            return
        self._history.append(text)
        self._size += len(text)
        while len(self._history) > HISTORY_EVENTS or self._size > HISTORY_SIZE:
            self._size -= len(self._history.popleft())

    def _admit(self) -> None:
        if self.watchers >= self._config.max_watchers:
            message = f"{self.watchers} of {self._config.max_watchers} viewers watch this room."
            raise Refusal("busy", message, "Try again later.", fatal=True, retry_after=5.0)

    @contextmanager
    def _seen_by(self, viewer: SendQueue | Feed, connection: Peer | None = None) -> Iterator[None]:
        self._viewers[viewer] = connection
        self._nobody.clear()
        try:
            yield
        finally:
            del self._viewers[viewer]
            if not self._viewers:
                self._nobody.set()

    async def gone(self, timeout_s: float) -> None:
        """Wait until nobody watches, at most this long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._nobody.wait()

    def _greet(self, viewer: SendQueue | Feed, after: int = 0) -> None:
        """Send a viewer `watching` and the earlier events. after: the last event that the viewer has."""
        missed = [text for text in self._history if json.loads(text)["id"] > after] if after else self._history
        viewer.put(_message("watching", version=protocol.VERSION, room=self.name, events=len(missed), **self._about))
        for text in missed:
            viewer.put(text)

    @contextmanager
    def feed(self, after: int = 0) -> Iterator[Feed]:
        """The room's messages for a viewer without a WebSocket, earlier events first. after: the last event it has.

        Raises Refusal("busy").
        """
        self._admit()
        feed = Feed(self._config.send_queue_bytes + self._size)
        with self._seen_by(feed):
            self._greet(feed, after)
            yield feed

    async def watch(self, connection: Peer) -> None:
        """Serve one viewer to its end. Raises Refusal("busy") if there are too many viewers."""
        self._admit()
        capacity = self._config.send_queue_bytes + self._size
        queue = SendQueue(connection, capacity, self._config.send_timeout_s, resume=False)
        with self._seen_by(queue, connection):
            await self._serve(queue, connection)

    async def _serve(self, queue: SendQueue, connection: Peer) -> None:
        pace = Pacer(self._config.max_messages_per_s, 4 * self._config.max_messages_per_s)
        try:
            self._greet(queue)
            while (answer := _answer(await connection.recv())) is not None:
                queue.put(answer)
                if (pause := pace.take(1.0, self._clock())) > 0:
                    await queue.finished(timeout_s=pause)
            only = Refusal("wrong_order", "A viewer may send only `ping`.", "Use another connection.", fatal=True)
            queue.put(protocol.write(only.to_dict()))
            queue.close(1008, only.code)
            await queue.finished(self._config.send_timeout_s)
        except ConnectionClosed:
            pass
        finally:
            await asyncio.shield(queue.abandon())

    def tick(self, now: float) -> None:
        """Drop viewers who do not answer pings. now: on the loop's clock."""
        for connection in list(self._viewers.values()):
            if connection is not None and now - connection.heard_at > 2 * self._config.ping_interval_s:
                connection.abort()

    def close(self, reason: str, message: str, code: int = 1000, **more: Any) -> None:
        """Tell all viewers that no more will come."""
        self.closed = True
        for queue in list(self._viewers):
            queue.put(_message("goodbye", reason=reason, resume=False, message=message, **more))
            queue.close(code, reason)


class Stages:
    """The shared rooms, by name."""

    def __init__(self, config: ServerConfig, clock: Callable[[], float]) -> None:
        self._config = config
        self._clock = clock
        self._stages: dict[str, Stage] = {}

    def open(self, name: str, access: Access, *, title: str = "", channels: Sequence[str] = ()) -> Stage:
        """Share a room; an earlier one of the same client with this name is replaced. title, channels: see `Stage`.

        Raises Refusal("conflict").
        """
        there = self._stages.get(name)
        if there is not None and there.owner != access.name:
            raise Refusal("conflict", f"The room {name!r} is another client's.", "Choose another name.")
        if there is not None:
            there.close("replaced", "Another session took over this room.")
        stage = Stage(name, access.name, self._config, self._clock, title=title, channels=channels)
        self._stages[name] = stage
        return stage

    def find(self, name: str, access: Access) -> Stage:
        """The room with this name, for a client that may watch it: with the scope `watch` or `admin`, or with the token
        that began it. Raises Refusal("unknown_session"), which does not reveal whether the room exists."""
        stage = self._stages.get(name)
        if stage is None or not (access.scopes & {"watch", "admin"} or access.name == stage.owner):
            message = f"There is no room {name!r} that you can watch at the moment."
            change = "Try again once it is shared; you need a token with the scope watch, or the token that shares it."
            raise Refusal("unknown_session", message, change, fatal=True)
        return stage

    def close(self, stage: Stage) -> None:
        """The session of the room is over."""
        if not stage.closed:
            stage.close("ended", "The session in this room is over.")
        if self._stages.get(stage.name) is stage:
            del self._stages[stage.name]

    def dismiss(self, message: str, retry_after: float) -> None:
        """The server stops."""
        for stage in self._stages.values():
            stage.close("draining", message, 1012, retry_after=retry_after)
        self._stages.clear()

    def tick(self, now: float) -> None:
        for stage in self._stages.values():
            stage.tick(now)


class Showing:
    """The shared room of one session: none until it shares, then one name at a time."""

    def __init__(self, stages: Stages, access: Access) -> None:
        self._stages = stages
        self._access = access
        self._stage: Stage | None = None

    def under(self, name: str) -> int:
        """Share the session under this name from now on; returns the number of viewers. Viewers under an earlier name
        are told.

        Raises Refusal("conflict").
        """
        if self._stage is None or self._stage.name != name or self._stage.closed:
            stage = self._stages.open(name, self._access)
            self.close()
            self._stage = stage
        return self._stage.watchers

    def show(self, text: str, *, keep: bool) -> None:
        """Send to viewers; see `Stage.show`."""
        if self._stage is not None:
            self._stage.show(text, keep=keep)

    def close(self) -> None:
        """Tell viewers that the session is over."""
        if self._stage is not None:
            self._stages.close(self._stage)


def _answer(frame: str | bytes) -> str | None:
    """The answer to a viewer's message; None for a message that a viewer may not send."""
    try:
        message = None if isinstance(frame, bytes) else protocol.read(frame, "client")
    except ProtocolError:
        return None
    if message is None or message["type"] != "ping":
        return None
    return _message("pong", **({"request": message["request"]} if "request" in message else {}))


def _message(type_: str, **fields: Any) -> str:
    return protocol.write({"type": type_, **fields})

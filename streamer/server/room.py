"""A running session: the thin shell that carries out the session's commands.

Two kinds of tasks meet here. The connection's task (`serve`) reads frames and passes their audio to the engine. It
waits while the engine is busy, which slows a fast client down. A task for each channel follows the engine's steps and
lives as long as the session, with or without a connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from websockets.exceptions import ConnectionClosed

from streamer.audio.chunks import InputGap
from streamer.errors import BufferClosed, StreamClosed, StreamerError
from streamer.protocol import Refusal
from streamer.protocol.framing import Payload
from streamer.server import log
from streamer.server.auth import Access
from streamer.server.channel import Channel
from streamer.server.commands import Close, Command, Directory, Enroll, Finish, Flush, Send, Share, Show
from streamer.server.config import ServerConfig
from streamer.server.errands import Errands
from streamer.server.intake import Intake
from streamer.server.metrics import Metrics
from streamer.server.pacing import Pacer
from streamer.server.peer import Peer
from streamer.server.peoplerequests import PeopleRequests
from streamer.server.presence import Presence
from streamer.server.report import statistics
from streamer.server.sendqueue import SendQueue
from streamer.server.session import SessionState
from streamer.server.sound import SessionSound
from streamer.server.stages import Showing, Stages
from streamer.speakers.profiles import Roster


@dataclass(slots=True)
class Times:
    """When each last happened, on the server's clock, in seconds."""

    began: float
    audio: float
    stats: float


class Room:
    """A session, its channels, and its current connection, if any.

    address, access: of the client that began it; a client that resumes must have the same `access.name`.
    clock: seconds, never running back.
    """

    def __init__(
        self,
        session: SessionState,
        intake: Intake,
        address: str,
        access: Access,
        config: ServerConfig,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self.session = session
        self.address = address
        self.access = access
        self.channels: list[Channel] = []
        self.over = False
        self.reason = "lost"
        self.times = Times(clock(), clock(), clock())
        self._intake = intake
        self._config = config
        self._metrics = metrics
        self._clock = clock
        self._presence = Presence(2 * config.ping_interval_s)
        self._tasks: set[asyncio.Task[None]] = set()
        self._counted = session.received
        self._errands: Errands | None = None
        self._sound: SessionSound
        self._showing: Showing
        self._frozen = False
        #: It was saved for another server: later messages would be unknown there.
        self.kept = False
        self._audio_pace = Pacer(config.max_rate, config.burst_s)
        self._text_pace = Pacer(config.max_messages_per_s, 4 * config.max_messages_per_s)

    def open(self, channels: Sequence[Channel], people_requests: PeopleRequests, stages: Stages) -> None:
        """Start to follow the engine."""
        self.channels = list(channels)
        self._sound = SessionSound(self._intake, self.channels)
        self._showing = Showing(stages, self.access)
        self._errands = Errands(self.session, self.channels, people_requests, self._do)
        task = asyncio.create_task(self._follow(), name=f"session {self.session.name}")
        self._tasks.add(task)

    @property
    def attached(self) -> bool:
        return self._presence.queue is not None

    # A connection

    async def serve(self, connection: Peer, start: Mapping[str, Any], scopes: frozenset[str]) -> None:
        """Serve one connection to its end. It must be the only one: see `replace`."""
        # Events that are sent again come all at once, which is not the client's slowness.
        capacity = self._config.send_queue_bytes + self.session.replay.size
        queue = SendQueue(connection, capacity, self._config.send_timeout_s, resume=self._config.resume_s > 0)
        presence = self._presence
        presence.arrive(connection, queue)
        self.times.audio = self._clock()
        try:
            await self._carry_out(self.session.attach(start, scopes, self._clock()))
            while True:
                frame = await presence.read(connection)
                if self._frozen:
                    continue  # not counted as received: a client that resumes sends it again
                presence.hearing = isinstance(frame, bytes)
                await self._carry_out(self.session.receive(frame))
                await self._pace(frame, queue)
                if presence.hearing:
                    self.times.audio, presence.hearing = self._clock(), False
        except ConnectionClosed:
            pass
        except (BufferClosed, StreamClosed):
            # The stream has failed during the write: `_follow` reports why, and closes the queue.
            await queue.finished(self._config.send_timeout_s)
        finally:
            presence.leave()
            self.session.detach(self._clock())
            # If this side closed first, `_do` has decided what follows, whatever the client answers.
            if connection.left:
                self._end("ended" if self.session.done else "left")
            await asyncio.shield(queue.abandon())
            presence.gone()

    async def replace(self) -> None:
        """Another connection has the session's token: dismiss the current one and wait until it is gone.

        Several may wait. The first to wake must serve at once, without an await in between, and the next one dismisses
        it: the last one stays.
        """
        while not self._presence.alone:
            if self.attached:
                self._do(self.session.dismiss("replaced", "Another connection resumed.", resume=False, code=1008))
            await self._presence.wait_alone()

    async def _pace(self, frame: str | bytes, queue: SendQueue) -> None:
        """Wait if the client sends faster than allowed: the transport's flow control then slows it down."""
        now = self._clock()
        if isinstance(frame, str):
            pause = self._text_pace.take(1.0, now)
        else:
            seconds = self._taken_s()
            self._metrics.audio.inc(seconds)
            pause = self._audio_pace.take(seconds, now)
        if pause > 0:
            await queue.finished(timeout_s=pause)

    def _taken_s(self) -> float:
        taken, self._counted = self.session.received - self._counted, self.session.received
        return taken / self.session.settings.sample_rate

    # Commands

    async def _carry_out(self, commands: Sequence[Command]) -> None:
        for command in commands:
            match command:
                case Payload(data, num_samples):
                    try:
                        await self._sound.hear(data, num_samples)
                    except Refusal as refusal:
                        self._refuse(refusal)
                case InputGap(num_samples, reason):
                    self._metrics.gap_seconds.inc(num_samples / self.session.settings.sample_rate)
                    await self._sound.gap(num_samples, reason)
                case Finish():
                    await self._sound.finish()
                case Flush(request):
                    self._sound.when_looked_at(partial(self._flushed, request))
                case Share(name, request):
                    self._share(name, request)
                case Enroll() | Directory():
                    assert self._errands is not None
                    self._errands.put(command)
                case _:
                    self._do([command])

    def _do(self, commands: Sequence[Command]) -> None:
        """Carry out commands that need no waiting: the session's answers to reports."""
        for command in commands:
            if isinstance(command, Show):
                self._showing.show(command.text, keep=command.keep)
                continue
            if (queue := self._presence.queue) is None:
                return
            if isinstance(command, Send):
                queue.put(command.text)
            elif isinstance(command, Close):
                # With any other reason, the dismissed client has nothing to resume.
                if command.reason not in ("draining", "slow_reader", "replaced"):
                    self._end(command.reason)
                queue.close(command.code, command.reason)

    def _flushed(self, request: int | None, sample: int) -> None:
        self._do(self.session.flushed(request, sample))

    def _share(self, name: str, request: int | None) -> None:
        try:
            watchers = self._showing.under(name)
        except Refusal as refusal:
            return self._refuse(refusal, request)
        self._do(self.session.shared(name, watchers, request))

    def _refuse(self, refusal: Refusal, request: int | None = None) -> None:
        self._do(self.session.refuse(refusal, request))

    # Reports

    def emit(self, channel: int, events: Sequence[Mapping[str, Any]]) -> None:
        """A channel has new events."""
        if events and not self.kept:
            self._metrics.events.inc(len(events))
            self._do(self.session.emit(channel, events))

    def coached(self, report: Mapping[str, Any]) -> None:
        """The enrolment has a new report."""
        self._do(self.session.enrolment(report))

    async def _follow(self) -> None:
        """Follow all channels to their end."""
        try:
            await self._sound.follow()
        except StreamerError as error:
            log.say("stream failed", level=logging.WARNING, session=self.session.name, problem=str(error)[:300])
            self.fail(str(error))
        except Exception:
            log.say("stream failed", level=logging.ERROR, exc_info=True, session=self.session.name)
            self.fail("The server made a mistake.")
        else:
            assert self._errands is not None
            await self._errands.done()
            if not self.kept:  # otherwise the server that continues the session reports it
                self._do(self.session.drained())

    # Control

    def tick(self, now: float) -> None:
        """Called a few times a second: handle what is due."""
        interval = self.session.settings.stats_interval
        if self.attached and interval and now - self.times.stats >= interval:
            self.times.stats = now
            self._do(self.session.stats(**statistics(self.channels, now)))
        # A client whose audio still waits to be processed is not idle: this server is late.
        silent = self.attached and now - self.times.audio > self._config.idle_timeout_s
        if silent and not (self._presence.hearing or self._sound.late) and not self.session.ending:
            limit = self._config.idle_timeout_s
            message = f"No audio came for {limit:g} s."
            self._do(self.session.dismiss("idle", message, resume=False, code=1000))
        self._presence.look(now)
        if self.session.expired(now):
            self._end("expired")

    def fail(self, message: str, retry_after: float | None = None) -> None:
        """End the session because of an internal error."""
        self._end("failed")
        self._refuse(Refusal("internal", message, "Start a new session.", fatal=True, retry_after=retry_after))

    def freeze(self) -> None:
        """The server stops: take no more of the client's input."""
        self._frozen = True

    def give_up(self) -> None:
        """Another server continues the session: send nothing more here."""
        self.kept = True
        self._end("moved")
        self.dismiss("replaced", "Another server continues this session.", resume=False, code=1008)

    @property
    def settled(self) -> bool:
        """Whether all input has reached the engine or the store."""
        return not self._presence.hearing and not self._errands

    async def listen_for(self, roster: Roster) -> None:
        """Change the roster."""
        await self._sound.listen_for(roster)

    def dismiss(self, reason: str, message: str, *, resume: bool, code: int, retry_after: float | None = None) -> None:
        """Dismiss the client, if one is connected."""
        self._do(self.session.dismiss(reason, message, resume=resume, code=code, retry_after=retry_after))

    async def closed(self) -> None:
        """Wait until nobody is connected."""
        await self._presence.wait_alone()

    async def shut(self) -> None:
        """Close the engine's streams. The room must not be used afterwards."""
        self._showing.close()
        if self._presence.queue is not None:
            await self._presence.queue.abandon()
        if self._errands is not None:
            await self._errands.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        # Rooms, channels and tasks form reference cycles: free their memory now, not at the next garbage collection.
        self.channels.clear()
        self._tasks.clear()
        self._errands = None

    def _end(self, reason: str) -> None:
        if not self.over:
            self.over, self.reason = True, reason

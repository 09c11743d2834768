"""One session at work: the thin shell that carries out what the session decides.

Two kinds of tasks meet here. The connection's own (`serve`) reads frames and gives their audio to the engine, waiting
where the engine has enough to do: that wait is what slows a fast client down. A task for each channel follows the
engine's steps and lives as long as the session, whether or not anybody is connected.
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
    """When what last happened, on the server's clock, in seconds."""

    began: float
    audio: float
    stats: float


class Room:
    """A session, its channels, and the connection it has at the moment, if any.

    Args:
        address, access: of the client that began it; whoever resumes it must be the same by `access.name`.
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
        #: It was written down for who goes on with it: nothing that it still says would be known there.
        self.kept = False
        self._audio_pace = Pacer(config.max_rate, config.burst_s)
        self._text_pace = Pacer(config.max_messages_per_s, 4 * config.max_messages_per_s)

    def open(self, channels: Sequence[Channel], people_requests: PeopleRequests, stages: Stages) -> None:
        """Begin to follow the engine."""
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
        # What is sent again comes at once, and is not the client's slowness.
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
                    continue  # not counted as received: who resumes sends it again
                presence.hearing = isinstance(frame, bytes)
                await self._carry_out(self.session.receive(frame))
                await self._pace(frame, queue)
                if presence.hearing:
                    self.times.audio, presence.hearing = self._clock(), False
        except ConnectionClosed:
            pass
        except (BufferClosed, StreamClosed):
            # The stream has failed under the writer: `_follow` says why, and closes the queue.
            await queue.finished(self._config.send_timeout_s)
        finally:
            presence.leave()
            self.session.detach(self._clock())
            # If we closed first, `_do` has decided what that means, whatever the client says to it.
            if connection.left:
                self._end("ended" if self.session.done else "left")
            await asyncio.shield(queue.abandon())
            presence.gone()

    async def replace(self) -> None:
        """Another connection has the session's token: send the present one away and wait until it is gone.

        Several may wait. Whoever wakes first is to serve at once, without an await between, and the next sends it away:
        the last one stays.
        """
        while not self._presence.alone:
            if self.attached:
                self._do(self.session.dismiss("replaced", "Another connection resumed.", resume=False, code=1008))
            await self._presence.wait_alone()

    async def _pace(self, frame: str | bytes, queue: SendQueue) -> None:
        """Read on only when the client has not been faster than it may: the transport's flow control does the rest."""
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
        """The commands that need no waiting: what the session answers to reports."""
        for command in commands:
            if isinstance(command, Show):
                self._showing.show(command.text, keep=command.keep)
                continue
            if (queue := self._presence.queue) is None:
                return
            if isinstance(command, Send):
                queue.put(command.text)
            elif isinstance(command, Close):
                # Except for these, whoever was sent away has nothing to come back to.
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

    # What comes back

    def emit(self, channel: int, events: Sequence[Mapping[str, Any]]) -> None:
        """A channel has decided something."""
        if events and not self.kept:
            self._metrics.events.inc(len(events))
            self._do(self.session.emit(channel, events))

    def coached(self, report: Mapping[str, Any]) -> None:
        """The coach has heard more."""
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
            if not self.kept:  # who goes on with it says so
                self._do(self.session.drained())

    # From outside

    def tick(self, now: float) -> None:
        """Called a few times a second: what is due by now."""
        interval = self.session.settings.stats_interval
        if self.attached and interval and now - self.times.stats >= interval:
            self.times.stats = now
            self._do(self.session.stats(**statistics(self.channels, now)))
        # Who waits for what they sent to be looked at is not idle: we are late.
        silent = self.attached and now - self.times.audio > self._config.idle_timeout_s
        if silent and not (self._presence.hearing or self._sound.late) and not self.session.ending:
            limit = self._config.idle_timeout_s
            message = f"No audio came for {limit:g} s."
            self._do(self.session.dismiss("idle", message, resume=False, code=1000))
        self._presence.look(now)
        if self.session.expired(now):
            self._end("expired")

    def fail(self, message: str, retry_after: float | None = None) -> None:
        """End the session for a fault of ours."""
        self._end("failed")
        self._refuse(Refusal("internal", message, "Start a new session.", fatal=True, retry_after=retry_after))

    def freeze(self) -> None:
        """The server stops: nothing more of what the client sends is taken in."""
        self._frozen = True

    def give_up(self) -> None:
        """Another server goes on with the session: nothing more is said of it here."""
        self.kept = True
        self._end("moved")
        self.dismiss("replaced", "Another server goes on with this session.", resume=False, code=1008)

    @property
    def settled(self) -> bool:
        """Nothing of what came is still on its way to the engine or the store."""
        return not self._presence.hearing and not self._errands

    async def listen_for(self, roster: Roster) -> None:
        """The enrolled have changed."""
        await self._sound.listen_for(roster)

    def dismiss(self, reason: str, message: str, *, resume: bool, code: int, retry_after: float | None = None) -> None:
        """Send the client away, if one is there."""
        self._do(self.session.dismiss(reason, message, resume=resume, code=code, retry_after=retry_after))

    async def closed(self) -> None:
        """Wait until nobody is connected."""
        await self._presence.wait_alone()

    async def shut(self) -> None:
        """Give up the engine's streams. Nothing may be asked of the room afterwards."""
        self._showing.close()
        if self._presence.queue is not None:
            await self._presence.queue.abandon()
        if self._errands is not None:
            await self._errands.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        # Rooms, channels and tasks know each other: what they hold goes now, and not when the collector comes round.
        self.channels.clear()
        self._tasks.clear()
        self._errands = None

    def _end(self, reason: str) -> None:
        if not self.over:
            self.over, self.reason = True, reason

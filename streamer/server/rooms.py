"""All sessions of a server: begun, found again, and closed when they are over."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, cast

from streamer.engine.engine import Engine
from streamer.engine.stream import Policy, Stream
from streamer.errors import ConfigurationError, StateMismatch, StreamerError
from streamer.server import log
from streamer.server.admission import Admission
from streamer.server.auth import Access
from streamer.server.channel import Channel
from streamer.server.config import ServerConfig
from streamer.server.desk import Desk
from streamer.server.intake import Intake
from streamer.server.metrics import Metrics
from streamer.server.offload import Offload
from streamer.server.people import People
from streamer.server.protocol import Refusal, Settings
from streamer.server.replay import Keep
from streamer.server.report import summary
from streamer.server.room import Room
from streamer.server.session import Session
from streamer.server.shelf import Kept, Shelf
from streamer.server.stages import Stages
from streamer.server.wire import Wire
from streamer.speakers.tracker import Tracker
from streamer.speakers.turn import Embed

# How soon after one change of the enrolled the streams are told of another.
LISTEN_EVERY_S = 0.3
# How often the shelf is cleared: nothing is there for much longer than it may be.
CLEAR_S = 60.0
# How long a stopping server waits for streams that have not computed all they were given: beside the time to stop in,
# little.
SETTLE_S = 1.0


class Rooms:
    """The sessions, by their resume token.

    A session is here from `begin` until it is over: ended, failed, left, or not resumed in time.
    """

    def __init__(
        self,
        engine: Engine,
        people: People,
        admission: Admission,
        config: ServerConfig,
        metrics: Metrics,
        clock: Callable[[], float],
        shelf: Shelf | None = None,
    ) -> None:
        self._shelf = shelf
        self._cleared = clock()
        self._engine = engine
        # In `exact` mode the steps have no moments to pool a turn from.
        self._embed: Embed | None = engine.model.embed if engine.incremental.mode == "cached" else None
        self._people = people
        self._admission = admission
        self._config = config
        self._metrics = metrics
        self._clock = clock
        self._backend = people.backend
        self._desk = Desk(people, self._backend, self._embed, engine.model.grid, self.listen_again)
        self._offload = Offload()
        self.stages = Stages(config, clock)
        self._rooms: dict[str, Room] = {}
        self._changed = False
        self._listening: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._rooms)

    def __iter__(self) -> Iterator[Room]:
        return iter(list(self._rooms.values()))

    @property
    def detached(self) -> int:
        return sum(not room.attached for room in self._rooms.values())

    async def begin(self, start: Mapping[str, Any], access: Access, address: str) -> Room:
        """A new session. Raises Refusal: busy, unsupported, unknown_speaker, invalid_message."""
        settings = Settings.of(start)
        settings = replace(settings, roster=self._people.invited(settings.roster))
        with self._admission.taking(address, settings.cost):
            trackers = await self._trackers(settings)
            self._admission.open()  # the server may have begun to stop meanwhile
            intake = Intake(settings)
            streams = [self._stream(settings) for _ in range(settings.streams)]
            keep = Keep(seconds=self._config.resume_s)
            model = {"name": self._engine.model.card.name, "fingerprint": self._engine.model.fingerprint}
            session = Session(secrets.token_hex(4), secrets.token_urlsafe(24), settings, model, keep)
            room = Room(session, intake, address, access, self._config, self._metrics, self._clock)
            self._enter(room, streams, trackers)
        self._metrics.sessions.inc()
        return room

    async def serve(self, room: Room, connection: Wire, start: Mapping[str, Any], scopes: frozenset[str]) -> None:
        """Serve one connection of a session to its end. A session that is over gives its place back at once."""
        await room.serve(connection, start, scopes)
        if room.over and not room.attached:
            await self._leave(room)

    async def watch(self, name: str, access: Access, connection: Wire) -> None:
        """Serve one viewer of a room to its end. Raises Refusal: unknown_session, busy."""
        self._admission.open()
        await self.stages.find(name, access).watch(connection)

    async def resume(self, token: str, access: Access) -> Room:
        """The session of a resume token, with nobody connected to it. Raises Refusal: unknown_session, busy."""
        self._admission.open()
        room = self._rooms.get(token) or await self._unshelve(token, access)
        if room is not None and not room.over and room.access.name == access.name:
            await room.replace()
            # While we waited for the present connection to go, the server may have begun to stop, or the session ended.
            self._admission.open()
            if not room.over:
                self._metrics.resumes.inc()
                return room
        raise Refusal(
            "unknown_session",
            f"There is no such session, or its {self._config.resume_s:g} s are over.",
            "Start a new one, without resume.",
            fatal=True,
        )

    async def _unshelve(self, token: str, access: Access) -> Room | None:
        """A session from before a restart of the server, if it is one of this client's and still fits the engine."""
        if self._shelf is None:
            return None
        kept = await asyncio.to_thread(self._shelf.find, token)
        if kept is None or kept.client != access.name:
            return None
        try:
            keep = Keep(seconds=self._config.resume_s)
            session = Session.restore(kept.session, self._clock() - kept.away_s, keep)
            with self._admission.taking(kept.address, session.settings.cost):
                trackers = await self._trackers(session.settings, [state for _, state, _ in kept.channels])
                if (there := self._rooms.get(token)) is not None:  # another connection was faster
                    self._admission.give_back(kept.address, session.settings.cost)
                    return there
                room = self._restored(session, kept, access, trackers)
        except (StreamerError, LookupError, TypeError, ValueError) as error:  # another model, or another version
            log.say("session not restored", session=kept.session.get("name"), problem=str(error)[:300])
            return None
        # Not before: where there is no room for it just now, its client comes back for it.
        self._shelf.forget(token)
        return room

    async def _trackers(self, settings: Settings, states: Sequence[bytes] | None = None) -> list[Tracker]:
        """A tracker for each stream of a session, new or as it was kept. Raises StateMismatch for another's state."""
        roster = self._people.roster(settings.roster)

        def make() -> list[Tracker]:
            trackers = [Tracker(roster, self._backend, self._embed) for _ in range(settings.streams)]
            if states is not None and len(states) != len(trackers):
                raise StateMismatch(f"{len(states)} streams were kept of a session that has {settings.streams}.")
            for tracker, state in zip(trackers, states or (), strict=False):
                tracker.restore(state)
            return trackers

        return await self._offload.run(len(roster), make)

    def _restored(self, session: Session, kept: Kept, access: Access, trackers: list[Tracker]) -> Room:
        """A kept session on new streams of the engine. Raises what they and the trackers do not take."""
        settings = session.settings
        policy = cast(Policy, settings.policy)
        streams = [self._engine.open(policy=policy, restore=state) for state, _, _ in kept.channels]
        room = Room(session, Intake(settings), kept.address, access, self._config, self._metrics, self._clock)
        self._enter(room, streams, trackers)
        for channel, (_, _, written) in zip(room.channels, kept.channels, strict=True):
            channel.lose(written, "restart")  # it had arrived, but was not looked at
        return room

    def _stream(self, settings: Settings) -> Stream:
        try:
            return self._engine.open(settings.durations, settings.step, policy=cast(Policy, settings.policy))
        except ConfigurationError as error:
            raise Refusal("invalid_message", str(error), "Choose other settings in `start`.", fatal=True) from None

    def _enter(self, room: Room, streams: Sequence[Stream], trackers: Sequence[Tracker]) -> None:
        channels = [
            Channel(
                index,
                stream,
                tracker,
                room.session.settings,
                room.emit,
                room.coached,
                self._metrics,
                self._offload,
                self._clock,
            )
            for index, (stream, tracker) in enumerate(zip(streams, trackers, strict=True))
        ]
        room.open(channels, self._desk, self.stages)
        self._rooms[room.session.token] = room

    def listen_again(self) -> None:
        """The enrolled have changed: every stream will listen for them as they are now, one after the other."""
        self._changed = True
        if self._listening is None or self._listening.done():
            self._listening = asyncio.create_task(self._listen_again(), name="listen again")

    async def _listen_again(self) -> None:
        while self._changed:
            self._changed = False
            for room in list(self._rooms.values()):
                try:
                    await room.listen_for(self._people.roster(room.session.settings.roster))
                except Exception:
                    log.say("roster not changed", level=logging.ERROR, exc_info=True, session=room.session.name)
                await asyncio.sleep(0)  # what costs little is done at once: others want the loop, too
            # With very many people it is work for each stream: changes that follow soon are taken together.
            await asyncio.sleep(LISTEN_EVERY_S)

    async def tick(self) -> None:
        """Called a few times a second: look after every session, and close those that are over."""
        now = self._clock()
        self.stages.tick(now)
        for room in list(self._rooms.values()):
            try:
                room.tick(now)
            except Exception:  # the others are to be looked after all the same
                log.say("session failed", level=logging.ERROR, exc_info=True, session=room.session.name)
                room.fail("The server made a mistake.")
        over = [room for room in self._rooms.values() if room.over and not room.attached]
        await asyncio.gather(*(self._leave(room) for room in over))
        if self._shelf is not None and now - self._cleared >= CLEAR_S:
            self._cleared = now
            await asyncio.to_thread(self._shelf.clear)

    async def _leave(self, room: Room) -> None:
        if self._rooms.pop(room.session.token, None) is None:
            return
        line = summary(room, self._clock())
        try:
            await room.shut()
        except Exception:
            log.say("session not closed", level=logging.ERROR, exc_info=True, session=room.session.name)
        finally:
            self._admission.give_back(room.address, room.session.settings.cost)
        for code, count in room.session.errors.items():
            self._metrics.errors.labels(code).inc(count)
        log.say("session", **line)

    async def close(self, message: str, retry_after: float, grace_s: float) -> None:
        """Keep what can be resumed, send everybody away with a hint that says whether theirs is, and wait for them to
        go. All of it takes no longer than `grace_s`."""
        end = self._clock() + grace_s
        rooms = list(self._rooms.values())
        for room in rooms:
            room.freeze()
        settled = self._clock() + min(SETTLE_S, 0.6 * grace_s)
        kept = await asyncio.gather(*(self._kept(room, settled, end - grace_s / 4) for room in rooms))
        for room, resume in zip(rooms, kept, strict=True):
            hint = message if resume else f"{message} The session can't be kept: begin a new one."
            room.dismiss("draining", hint, resume=resume, code=1012, retry_after=retry_after)
        self.stages.dismiss(message, retry_after)
        await self.gone(max(0.0, end - self._clock()))

    async def gone(self, timeout_s: float) -> None:
        """Wait until nobody is connected, or for so long."""
        waiting = [asyncio.ensure_future(room.closed()) for room in self._rooms.values()]
        if waiting:
            await asyncio.wait(waiting, timeout=timeout_s)
            for future in waiting:
                future.cancel()

    def fail(self, message: str, retry_after: float) -> None:
        """Tell everybody that there is no going on here."""
        for room in self._rooms.values():
            room.fail(message, retry_after)

    async def _kept(self, room: Room, settled: float, end: float) -> bool:
        """Put a session on the shelf; whether it lies there. settled: until when to wait for what is being computed."""
        if self._shelf is None or room.over:
            return False
        try:
            async with asyncio.timeout(end - self._clock()):
                return await self._keep(room, self._shelf, settled)
        except Exception as error:
            full = isinstance(error, OSError | TimeoutError)
            about = {"problem": f"{type(error).__name__}: {error}"[:300]} if full else {}
            log.say("session not kept", level=logging.ERROR, exc_info=not full, session=room.session.name, **about)
            return False

    async def _keep(self, room: Room, shelf: Shelf, end: float) -> bool:
        """Write a session down once its trackers have heard all that its streams computed, or at `end`."""
        while not room.over:
            late = self._clock() >= end
            streams = [channel.stream for channel in room.channels]
            if late or (room.settled and not any(stream.unread for stream in streams)):
                async with AsyncExitStack() as stack:
                    # While we look, no tracker goes on: trackers, streams and session belong together.
                    for channel in room.channels:
                        await stack.enter_async_context(channel.tracking)
                    states = [await stream.snapshot() for stream in streams]
                    # A stream that is ahead of its tracker never says again what the tracker has not heard.
                    ahead = any(channel.busy or channel.stream.unread for channel in room.channels)
                    if late or (room.settled and not ahead):
                        trackers = [await channel.snapshot() for channel in room.channels]
                        written = [channel.progress.written for channel in room.channels]
                        channels = tuple(zip(states, trackers, written, strict=True))
                        kept = Kept(room.session.snapshot(), room.access.name, room.address, channels, 0.0)
                        room.keep()
                        await asyncio.to_thread(shelf.put, kept)
                        return True
            await asyncio.sleep(SETTLE_S / 200)
        return False

    async def shut(self) -> None:
        """Close every session."""
        if self._listening is not None:
            self._listening.cancel()
        await asyncio.gather(*(self._leave(room) for room in list(self._rooms.values())))
        self._offload.close()

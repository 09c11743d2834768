"""All sessions of a server: begun, found again, and closed when they are over."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from streamer.engine.engine import Engine
from streamer.engine.stream import Policy, Stream
from streamer.errors import ConfigurationError, StateMismatch, StreamerError
from streamer.protocol import Refusal, Settings
from streamer.server import log
from streamer.server.admission import Admission
from streamer.server.auth import Access
from streamer.server.channel import Channel
from streamer.server.config import ServerConfig
from streamer.server.intake import Intake
from streamer.server.keeping.handover import SETTLE_S, hand_over
from streamer.server.keeping.keeper import Keeper
from streamer.server.keeping.sessionsnapshot import SessionSnapshot
from streamer.server.keeping.sessionstore import SessionStore
from streamer.server.metrics import Metrics
from streamer.server.offload import Offload
from streamer.server.peer import Peer
from streamer.server.people import People
from streamer.server.peoplerequests import PeopleRequests
from streamer.server.replay import Keep
from streamer.server.room import Room
from streamer.server.session import SessionState
from streamer.server.stages import Stages
from streamer.server.summary import summary
from streamer.speakers.steps import Embed
from streamer.speakers.tracker import Tracker

# Minimum time between two changes of the streams' rosters. If the update is slow, it may take a fifth of the time, but
# it still runs often enough that the difference between two rosters is known.
LISTEN_EVERY_S, LISTEN_AT_LEAST_EVERY_S = 0.3, 2.0


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
        session_store: SessionStore | None = None,
    ) -> None:
        self._keeper = None if session_store is None else Keeper(session_store, config.snapshot_s, metrics, clock)
        self._keeping = None if self._keeper is None else asyncio.create_task(self._keeper.run(), name="keeping")
        self._engine = engine
        # In `exact` mode, steps have no moments to pool a turn from.
        self._embed: Embed | None = engine.model.embed if engine.incremental.mode == "cached" else None
        self._people = people
        self._admission = admission
        self._config = config
        self._metrics = metrics
        self._clock = clock
        self._backend = people.backend
        self._people_requests = PeopleRequests(people, self._backend, self._embed, engine.model.grid, self.listen_again)
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
            session = SessionState(secrets.token_hex(4), secrets.token_urlsafe(24), settings, model, keep)
            room = Room(session, intake, address, access, self._config, self._metrics, self._clock)
            self._enter(room, streams, trackers)
        if self._keeper is not None:
            self._keeper.add(room)
        self._metrics.sessions.inc()
        return room

    async def serve(self, room: Room, connection: Peer, start: Mapping[str, Any], scopes: frozenset[str]) -> None:
        """Serve one connection of a session to its end. A session that is over frees its slots at once."""
        await room.serve(connection, start, scopes)
        if room.over and not room.attached:
            await self._leave(room)

    async def watch(self, name: str, access: Access, connection: Peer) -> None:
        """Serve one viewer of a room to its end. Raises Refusal: unknown_session, busy."""
        self._admission.open()
        await self.stages.find(name, access).watch(connection)

    async def resume(self, token: str, access: Access) -> Room:
        """The session of a resume token, without a connection. Raises Refusal: unknown_session, busy."""
        self._admission.open()
        room = self._rooms.get(token)
        if self._keeper is not None and room is not None and not await self._keeper.owns(room):
            room.give_up()
            await self._leave(room)
            room = None
        if self._keeper is not None and room is None:
            room = await self._take_up(token, access, self._keeper)
        if room is not None and not room.over and room.access.name == access.name:
            await room.replace()
            # During the wait for the old connection, the server may have begun to stop, or the session ended.
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

    async def _take_up(self, token: str, access: Access, keeper: Keeper) -> Room | None:
        """Take over a session of another server, or from before a restart, if client and engine match."""
        taken = await keeper.take(token, access.name)
        if taken is None:
            return None
        name = None
        try:
            snapshot = SessionSnapshot.from_bytes(taken.data)
            name = snapshot.session.get("name")
            keep = Keep(seconds=self._config.resume_s)
            session = SessionState.restored({**snapshot.session, "token": token}, self._clock() - taken.away_s, keep)
            with self._admission.taking(snapshot.address, session.settings.cost):
                trackers = await self._trackers(session.settings, [state for _, state in snapshot.channels])
                if (there := self._rooms.get(token)) is not None:  # another connection was faster
                    self._admission.give_back(snapshot.address, session.settings.cost)
                    return there
                room = self._restored(session, snapshot, access, trackers)
        except (StreamerError, LookupError, TypeError, ValueError) as error:  # another model, or another version
            log.say("session not restored", session=name, problem=str(error)[:300])
            return None
        keeper.add(room, taken)
        return room

    async def _trackers(self, settings: Settings, states: Sequence[bytes] | None = None) -> list[Tracker]:
        """A tracker for each stream of a session, new or restored. Raises StateMismatch for a state that does not
        fit."""
        everybody = self._people.everybody
        roster = self._people.roster(settings.roster)

        def make() -> list[Tracker]:
            trackers = [Tracker(roster, self._backend, self._embed) for _ in range(settings.streams)]
            if states is not None and len(states) != len(trackers):
                raise StateMismatch(f"{len(states)} streams were kept of a session that has {settings.streams}.")
            for tracker, state in zip(trackers, states or (), strict=False):
                tracker.restore(state)
            return trackers

        trackers = await self._offload.run(len(roster), make)
        if self._people.everybody is not everybody:
            # The roster has changed meanwhile, and running streams were updated without these.
            self.listen_again()
        return trackers

    def _restored(
        self, session: SessionState, snapshot: SessionSnapshot, access: Access, trackers: list[Tracker]
    ) -> Room:
        """A saved session on new streams of the engine. Raises the errors of the streams and the trackers."""
        settings = session.settings
        policy = cast(Policy, settings.policy)
        streams = [self._engine.open(policy=policy, restore=state) for state, _ in snapshot.channels]
        again = session.rewind(min(stream.position for stream in streams))
        room = Room(session, Intake(settings), snapshot.address, access, self._config, self._metrics, self._clock)
        self._enter(room, streams, trackers)
        for channel in room.channels:
            channel.hear_again(channel.stream.position - again)
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
        room.open(channels, self._people_requests, self.stages)
        self._rooms[room.session.token] = room

    def listen_again(self) -> None:
        """The enrolled speakers have changed: update the roster of every stream, one after the other."""
        self._changed = True
        if self._listening is None or self._listening.done():
            self._listening = asyncio.create_task(self._listen_again(), name="listen again")

    async def _listen_again(self) -> None:
        while self._changed:
            self._changed = False
            began = self._clock()
            # The same object for all: the effects of the change are computed once, and the old roster is freed.
            everybody = self._people.everybody
            for room in list(self._rooms.values()):
                names = room.session.settings.roster
                try:
                    await room.listen_for(everybody if names is None else self._people.roster(names))
                except Exception:
                    log.say("roster not changed", level=logging.ERROR, exc_info=True, session=room.session.name)
                await asyncio.sleep(0)  # a cheap update is done at once: let other tasks run
            # With very many people, each stream is a lot of work: combine changes that follow soon.
            took = self._clock() - began
            await asyncio.sleep(min(max(LISTEN_EVERY_S, 4 * took), LISTEN_AT_LEAST_EVERY_S))

    async def tick(self) -> None:
        """Called a few times a second: check every session, and close those that are over."""
        now = self._clock()
        self.stages.tick(now)
        for room in list(self._rooms.values()):
            try:
                room.tick(now)
            except Exception:  # the others must still be checked
                log.say("session failed", level=logging.ERROR, exc_info=True, session=room.session.name)
                room.fail("The server made a mistake.")
        over = [room for room in self._rooms.values() if room.over and not room.attached]
        await asyncio.gather(*(self._leave(room) for room in over))

    async def _leave(self, room: Room) -> None:
        if self._rooms.pop(room.session.token, None) is None:
            return
        line = summary(room, self._clock())
        try:
            if self._keeper is not None:
                await self._keeper.leave(room)
            await room.shut()
        except Exception:
            log.say("session not closed", level=logging.ERROR, exc_info=True, session=room.session.name)
        finally:
            self._admission.give_back(room.address, room.session.settings.cost)
        for code, count in room.session.errors.items():
            self._metrics.errors.labels(code).inc(count)
        log.say("session", **line)

    async def close(self, message: str, retry_after: float, grace_s: float) -> None:
        """Save what can be resumed, dismiss all clients with a hint whether theirs can be, and wait for them to go. All
        of it takes no longer than `grace_s`."""
        end = self._clock() + grace_s
        rooms = list(self._rooms.values())
        for room in rooms:
            room.freeze()
        settle = self._clock() + min(SETTLE_S, 0.6 * grace_s)
        kept = await asyncio.gather(*(self._kept(room, settle, end - grace_s / 4) for room in rooms))
        for room, resume in zip(rooms, kept, strict=True):
            hint = message if resume else f"{message} The session can't be kept: start a new one."
            room.dismiss("draining", hint, resume=resume, code=1012, retry_after=retry_after)
        self.stages.dismiss(message, retry_after)
        await self.gone(max(0.0, end - self._clock()))

    async def gone(self, timeout_s: float) -> None:
        """Wait until nobody is connected, up to this time."""
        waiting = [asyncio.ensure_future(room.closed()) for room in self._rooms.values()]
        if waiting:
            await asyncio.wait(waiting, timeout=timeout_s)
            for future in waiting:
                future.cancel()

    def fail(self, message: str, retry_after: float) -> None:
        """The server cannot continue: dismiss all clients, with a hint whether their sessions can be resumed."""
        for room in self._rooms.values():
            if self._keeper is not None and self._keeper.kept_once(room):
                room.kept = True
                room.dismiss("draining", message, resume=True, code=1012, retry_after=retry_after)
            else:
                room.fail(message, retry_after)

    async def _kept(self, room: Room, settle: float, end: float) -> bool:
        """Save the session for another server; returns whether it can be resumed; see `hand_over`."""
        return self._keeper is not None and await hand_over(room, self._keeper, settle, end, self._clock)

    async def shut(self) -> None:
        """Close every session."""
        for task in (self._listening, self._keeping):
            if task is not None:
                task.cancel()
        await asyncio.gather(*(self._leave(room) for room in list(self._rooms.values())))
        if self._keeper is not None:
            await self._keeper.close()
        self._offload.close()

"""All sessions of a server: begun, found again, and closed when they are over."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from streamer.server.people import People
from streamer.server.protocol import Refusal, Settings
from streamer.server.replay import Keep
from streamer.server.report import summary
from streamer.server.room import Room
from streamer.server.session import Session
from streamer.server.shelf import Kept, Shelf
from streamer.server.wire import Wire
from streamer.speakers.backend import Backend
from streamer.speakers.tracker import Tracker
from streamer.speakers.turn import Embed

# The tracker's short window, beside the long one that the client chooses.
SHORT_S = 1.0
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
        self._backend = Backend.of(engine.model)
        self._desk = Desk(people, self._backend, self._embed, engine.model.grid, self.listen_again)
        self._rooms: dict[str, Room] = {}

    def __len__(self) -> int:
        return len(self._rooms)

    def __iter__(self) -> Iterator[Room]:
        return iter(list(self._rooms.values()))

    @property
    def detached(self) -> int:
        return sum(not room.attached for room in self._rooms.values())

    def begin(self, start: Mapping[str, Any], access: Access, address: str) -> Room:
        """A new session. Raises Refusal: busy, unsupported, unknown_speaker, invalid_message."""
        settings = Settings.of(start)
        roster = self._people.invited(settings.roster)
        with self._admission.taking(address, settings.streams):
            intake = Intake(settings)
            streams = [self._stream(settings) for _ in range(settings.streams)]
            keep = Keep(seconds=self._config.resume_s)
            model = {"name": self._engine.model.card.name, "fingerprint": self._engine.model.fingerprint}
            session = Session(secrets.token_hex(4), secrets.token_urlsafe(24), settings, model, keep)
            room = Room(session, intake, address, access, self._config, self._metrics, self._clock)
            self._enter(room, streams, [Tracker(roster, self._backend, self._embed) for _ in streams])
        self._metrics.sessions.inc()
        return room

    async def serve(self, room: Room, connection: Wire, start: Mapping[str, Any], scopes: frozenset[str]) -> None:
        """Serve one connection of a session to its end. A session that is over gives its place back at once."""
        await room.serve(connection, start, scopes)
        if room.over and not room.attached:
            await self._leave(room)

    async def resume(self, token: str, access: Access) -> Room:
        """The session of a resume token, with nobody connected to it. Raises Refusal: unknown_session, busy."""
        self._admission.open()
        room = self._rooms.get(token) or self._unshelve(token, access)
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

    def _unshelve(self, token: str, access: Access) -> Room | None:
        """A session from before a restart of the server, if it is one of this client's and still fits the engine."""
        if self._shelf is None or (kept := self._shelf.find(token)) is None or kept.client != access.name:
            return None
        try:
            keep = Keep(seconds=self._config.resume_s)
            session = Session.restore(kept.session, self._clock() - kept.away_s, keep)
            with self._admission.taking(kept.address, session.settings.streams):
                room = self._restored(session, kept, access)
        except (StreamerError, LookupError, TypeError, ValueError) as error:  # another model, or another version
            log.say("session not restored", session=kept.session.get("name"), problem=str(error)[:300])
            return None
        # Not before: where there is no room for it just now, its client comes back for it.
        self._shelf.forget(token)
        return room

    def _restored(self, session: Session, kept: Kept, access: Access) -> Room:
        """A kept session on new streams of the engine. Raises what they and the trackers do not take."""
        settings = session.settings
        if len(kept.channels) != settings.streams:
            raise StateMismatch(f"{len(kept.channels)} streams were kept of a session that has {settings.streams}.")
        policy = cast(Policy, settings.policy)
        streams = [self._engine.open(policy=policy, restore=state) for state, _, _ in kept.channels]
        roster = self._people.roster(settings.roster)
        trackers = [Tracker(roster, self._backend, self._embed) for _ in streams]
        for tracker, (_, state, _) in zip(trackers, kept.channels, strict=True):
            tracker.restore(state)
        room = Room(session, Intake(settings), kept.address, access, self._config, self._metrics, self._clock)
        self._enter(room, streams, trackers)
        for channel, (_, _, written) in zip(room.channels, kept.channels, strict=True):
            channel.lose(written, "restart")  # it had arrived, but was not looked at
        return room

    def _stream(self, settings: Settings) -> Stream:
        try:
            return self._engine.open(_durations(settings), settings.step, policy=cast(Policy, settings.policy))
        except ConfigurationError as error:
            raise Refusal("invalid_message", str(error), "Choose other settings in `start`.", fatal=True) from None

    def _enter(self, room: Room, streams: Sequence[Stream], trackers: Sequence[Tracker]) -> None:
        channels = [
            Channel(index, stream, tracker, room.session.settings, room.emit, room.coached, self._metrics)
            for index, (stream, tracker) in enumerate(zip(streams, trackers, strict=True))
        ]
        room.open(channels, self._desk)
        self._rooms[room.session.token] = room

    def listen_again(self) -> None:
        """The enrolled have changed: every stream listens for them as they are now."""
        for room in self._rooms.values():
            roster = self._people.roster(room.session.settings.roster)
            for channel in room.channels:
                channel.listen_for(roster)

    async def tick(self) -> None:
        """Called a few times a second: look after every session, and close those that are over."""
        now = self._clock()
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
            self._admission.give_back(room.address, room.session.settings.streams)
        for code, count in room.session.errors.items():
            self._metrics.errors.labels(code).inc(count)
        log.say("session", **line)

    async def close(self, message: str, retry_after: float, grace_s: float) -> None:
        """Send everybody away with a hint to resume, wait for them to go, and keep what can be resumed."""
        kept = [room for room in self._rooms.values() if not room.over]
        for room in self._rooms.values():
            room.dismiss("draining", message, resume=True, code=1012, retry_after=retry_after)
        waiting = [asyncio.ensure_future(room.closed()) for room in self._rooms.values()]
        if waiting:
            await asyncio.wait(waiting, timeout=grace_s)
            for future in waiting:
                future.cancel()
        if self._shelf is not None:
            end = self._clock() + SETTLE_S
            for room in kept:
                try:
                    await self._keep(room, self._shelf, end)
                except Exception:
                    log.say("session not kept", level=logging.ERROR, exc_info=True, session=room.session.name)

    async def _keep(self, room: Room, shelf: Shelf, end: float) -> None:
        """Put a session on the shelf once its trackers have heard all that its streams computed, or at `end`."""
        streams = [channel.stream for channel in room.channels]
        while not room.over:
            late = self._clock() >= end
            if late or not any(stream.unread for stream in streams):
                heard = [channel.progress.heard for channel in room.channels]
                states = [await stream.snapshot() for stream in streams]
                # A stream that is ahead of its tracker never says again what the tracker has not heard.
                level = heard == [channel.progress.heard for channel in room.channels]
                if late or (level and not any(stream.unread for stream in streams)):
                    # No await from here on: trackers and session belong together.
                    parts = [(channel.tracker.snapshot(), channel.progress.written) for channel in room.channels]
                    channels = tuple((state, *part) for state, part in zip(states, parts, strict=True))
                    return shelf.put(Kept(room.session.snapshot(), room.access.name, room.address, channels, 0.0))
            await asyncio.sleep(SETTLE_S / 1000)

    async def shut(self) -> None:
        """Close every session."""
        await asyncio.gather(*(self._leave(room) for room in list(self._rooms.values())))


def _durations(settings: Settings) -> tuple[float, ...]:
    """The window lengths of a session's streams: the one asked for, and a short one that divides into its steps."""
    short = max(1, round(SHORT_S / settings.step)) * settings.step
    return (short, settings.duration) if short < settings.duration else (settings.duration,)

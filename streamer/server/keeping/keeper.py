"""Saves the running sessions every few seconds, and takes over sessions of other servers.

Nothing waits for it: if the session store does not answer, saved states only grow older. At most one batch is in
flight. States that could not be written are not queued; new ones are taken once the store answers again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from streamer.errors import StoreError
from streamer.protocol import Refusal
from streamer.server import log
from streamer.server.keeping.sessionsnapshot import SessionSnapshot, key_of
from streamer.server.keeping.sessionstore import FIRST, Item, SessionStore, Taken
from streamer.server.keeping.taking import settled, take_snapshot
from streamer.server.metrics import Metrics
from streamer.server.room import Room

T = TypeVar("T")

#: Between two checks for due sessions, and between two states of one session, however often its client acknowledges.
LOOK_S = 0.05
LEAST_S = 0.5
#: Sessions in one batch.
BATCH = 32
#: An unchanged session is still written after this time, because old states are deleted.
TOUCH_S = 20.0
#: How often to retry a store that does not answer.
RETRY_S = 1.0
#: How often to delete sessions that nobody resumed.
CLEAR_S = 60.0
#: How long a client that resumes waits for the store; after that, it is told to come back.
PATIENCE_S = 5.0
RETRY_AFTER_S = 1.0
#: How often, and how many times at most, a session that is not there is looked for again. A client whose proxy has
#: died may reach another server before the busy server that has its session writes it for the first time.
LOOK_AGAIN_S = 0.2
LOOKS = 10

FAILURES = (StoreError, OSError, TimeoutError)


@dataclass(slots=True)
class Mark:
    """What is known of a session's saved state.

    fence: of this server. at: when it was last written, on the server's clock; seen: `_seen` of the session then.
    """

    fence: int
    at: float = -math.inf
    seen: tuple[Any, ...] = ()


class Keeper:
    """Saves one server's sessions in a session store. period_s: the time between two states of a session."""

    def __init__(
        self, session_store: SessionStore, period_s: float, metrics: Metrics, clock: Callable[[], float]
    ) -> None:
        self._session_store = session_store
        self._period_s = period_s
        self._metrics = metrics
        self._clock = clock
        self._marks: dict[Room, Mark] = {}
        # One thread, so that states are written in order.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="streamer-keeping")
        self._packer = ThreadPoolExecutor(1, thread_name_prefix="streamer-packing")
        self._came = asyncio.Event()
        self._down = False
        self._cleared = clock()
        metrics.watch_keeping(self._age_s, lambda: not self._down)

    def _age_s(self) -> float:
        """The age of the oldest saved state."""
        now = self._clock()
        return max((now - mark.at for mark in self._marks.values() if mark.at > -math.inf), default=0.0)

    # Saving

    def add(self, room: Room, taken: Taken | None = None) -> None:
        """Start to save a session of this server, new or taken over."""
        self._marks[room] = Mark(FIRST) if taken is None else Mark(taken.fence, self._clock())
        # At once, before its engine is busy: during a lot of work, it may be impossible to take a state.
        self._came.set()

    async def leave(self, room: Room) -> None:
        """A session is closed here; if it is over, delete its saved state."""
        mark = self._marks.pop(room, None)
        if mark is None or not room.over or room.reason == "moved" or room.kept:
            return
        key = key_of(room.session.token)
        self._writer.submit(self._quietly, lambda: self._session_store.forget(key, mark.fence))

    async def run(self) -> None:
        """Save due sessions, for ever."""
        while True:
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._came.wait()
                self._came.clear()
                await self._write(await self._due())
            except FAILURES as error:
                self._lost(error)
                await asyncio.sleep(RETRY_S)
            except Exception:
                log.say("session not kept", level=logging.ERROR, exc_info=True)
                await asyncio.sleep(RETRY_S)

    async def _due(self) -> list[tuple[Room, SessionSnapshot]]:
        """The due sessions with their states, up to a batch; only one if the store did not answer last time."""
        now = self._clock()
        rooms = sorted((mark.at, number, room) for number, (room, mark) in enumerate(self._marks.items()))
        found: list[tuple[Room, SessionSnapshot]] = []
        for _, _, room in rooms:
            if len(found) >= (1 if self._down else BATCH):
                break
            mark = self._marks.get(room)
            if mark is None or not self._wanted(room, mark, now) or not settled(room):
                continue
            if (snapshot := await take_snapshot(room, self.aside)) is not None:
                found.append((room, snapshot))
        return found

    def _wanted(self, room: Room, mark: Mark, now: float) -> bool:
        if room.over or room.kept:
            return False
        if mark.at == -math.inf:
            return True
        passed = now - mark.at
        if passed < min(LEAST_S, self._period_s):
            return False
        before, seen = mark.seen, _seen(room)
        acknowledged_or_left = before[:2] != seen[:2]
        return acknowledged_or_left or (passed >= self._period_s and before != seen) or passed >= TOUCH_S

    async def _write(self, found: list[tuple[Room, SessionSnapshot]]) -> None:
        if not found:
            if self._clock() - self._cleared >= CLEAR_S:
                self._cleared = self._clock()
                await self._in(self._writer, self._session_store.clear)
            return
        seen = [_seen(room) for room, _ in found]
        parts = [(room, self._marks[room].fence, snapshot) for room, snapshot in found if room in self._marks]

        def put() -> list[bool]:
            return self._session_store.put([_item(room.session.token, fence, one) for room, fence, one in parts])

        owned = await self._in(self._writer, put)
        self._found_again()
        for (room, _, _), theirs, known in zip(parts, owned, seen, strict=False):
            self._metrics.snapshots.labels("written" if theirs else "moved").inc()
            if not theirs:
                room.give_up()
            elif (mark := self._marks.get(room)) is not None:
                mark.at, mark.seen = self._clock(), known

    async def keep(self, room: Room, snapshot: SessionSnapshot) -> bool:
        """Save a session for the last time; returns whether it was saved. Raises the errors of the session store."""
        mark = self._marks[room]
        item = _item(room.session.token, mark.fence, snapshot)
        [owned] = await self._in(self._writer, lambda: self._session_store.put([item]))
        if not owned:
            room.give_up()
        return owned

    def kept_once(self, room: Room) -> bool:
        """Whether any state of the session was saved."""
        mark = self._marks.get(room)
        return mark is not None and mark.at > -math.inf

    async def lies_there(self, room: Room) -> bool:
        """Whether a saved state of the session can be resumed, by another server or once the store answers again."""
        mark = self._marks.get(room)
        if mark is None or not self.kept_once(room):
            return False
        try:
            return await self._ask(lambda: self._session_store.holds(key_of(room.session.token), mark.fence))
        except StoreError:  # a database that is gone for a while still has it afterwards
            return True
        except (OSError, TimeoutError):
            return False

    # Taking over

    async def owns(self, room: Room) -> bool:
        """Whether no other server has taken the session over. True while the store does not answer."""
        mark = self._marks.get(room)
        if mark is None or not self.kept_once(room):
            return True
        try:
            return await self._ask(lambda: self._session_store.holds(key_of(room.session.token), mark.fence))
        except FAILURES as error:
            self._lost(error)
            return True

    async def take(self, token: str, client: str) -> Taken | None:
        """Take over another server's session; None if it is not in the store, nor soon after.

        Raises Refusal("busy") while the store does not answer.
        """
        key = key_of(token)
        try:
            for look in range(LOOKS + 1):
                if look:
                    await asyncio.sleep(LOOK_AGAIN_S)
                if (taken := await self._ask(lambda: self._session_store.take(key, client))) is not None:
                    return taken
            return None
        except FAILURES as error:
            self._lost(error)
            raise Refusal(
                "busy",
                "Saved sessions are not available at the moment.",
                "Resume again in a moment.",
                fatal=True,
                retry_after=RETRY_AFTER_S,
            ) from None

    async def close(self) -> None:
        """Wait a little for the batch in flight."""
        with contextlib.suppress(*FAILURES):
            async with asyncio.timeout(PATIENCE_S):
                await self._in(self._writer, lambda: None)
        self._writer.shutdown(wait=False, cancel_futures=True)
        self._packer.shutdown(wait=False, cancel_futures=True)
        self._session_store.close()

    # Internal

    async def _ask(self, question: Callable[[], T]) -> T:
        async with asyncio.timeout(PATIENCE_S):
            return await asyncio.to_thread(question)

    async def _in(self, pool: ThreadPoolExecutor, call: Callable[[], T]) -> T:
        return await asyncio.wrap_future(pool.submit(call))

    def aside(self, call: Callable[[], bytes]) -> Awaitable[bytes]:
        """Run a call in a thread, so that it does not block the loop."""
        return self._in(self._packer, call)

    def _quietly(self, call: Callable[[], None]) -> None:
        # A state that is not deleted now is deleted when it is too old.
        with contextlib.suppress(*FAILURES):
            call()

    def _lost(self, error: BaseException) -> None:
        """The store does not answer: log it once, until it does."""
        self._metrics.snapshots.labels("failed").inc()
        if not self._down:
            self._down = True
            problem = str(error)[:300] or f"no answer within {PATIENCE_S:g} s"
            log.say(
                "sessions not kept",
                level=logging.ERROR,
                where=self._session_store.where,
                problem=problem,
                advice="sessions go on, and it is tried again; until then a crash loses what came since",
            )

    def _found_again(self) -> None:
        if self._down:
            self._down = False
            log.say("sessions kept again", where=self._session_store.where)


def _item(token: str, fence: int, snapshot: SessionSnapshot) -> Item:
    return Item(key_of(token), fence, snapshot.client, snapshot.to_bytes())


def _seen(room: Room) -> tuple[Any, ...]:
    """Values whose change makes a session due: at once for the first two, after a while for the others."""
    session = room.session
    heard: Iterable[int] = (channel.progress.heard for channel in room.channels)
    return (session.replay.acknowledged, room.attached, session.replay.last, session.received, *heard)

"""The enrolled speakers as the server's streams see them: kept in step with the store, changed off the event loop.

The store is a database that other processes change too; its counter is asked twice a second, what has changed is read,
and every stream is told. Nothing here that runs on the loop grows with the number of people.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from streamer.errors import (
    ConfigurationError,
    SpeakerExists,
    SpeakerNotFound,
    StoreBusy,
    StoreError,
    StoreNotErased,
    StoreUnreachable,
)
from streamer.protocol import Refusal
from streamer.server import log
from streamer.server.admission import RETRY_AFTER_S
from streamer.speakers import elsewhere
from streamer.speakers.backend import Backend
from streamer.speakers.known import Known, StoreChanges
from streamer.speakers.names import clean_name, few, name_key
from streamer.speakers.profiles import Exemplar, Profile, Roster
from streamer.speakers.store import SpeakerStore

T = TypeVar("T")

#: Threads that wait for the store: one that does not answer must not hold up all who ask.
THREADS = 4
#: How long a client waits for the store, in seconds; what the store waits for itself is shorter.
PATIENCE_S = 15.0
#: A page of the list has so many at most, and so many characters, well below what one message may hold.
PAGE = 1000
PAGE_SIZE = 128 * 1024


class People:
    """The profiles of one model. backend: what their scores are worth; its cohort's norms are worked out here.

    Methods that touch the store run in a thread and raise Refusal where it can't do what was asked.
    """

    def __init__(self, store: SpeakerStore, fingerprint: str, dimension: int, backend: Backend) -> None:
        self.backend = backend
        self._store = store
        self._fingerprint = fingerprint
        self._known = Known.load(store, fingerprint, dimension, backend.cohort)
        #: Who was enrolled when the server began, but under other models: the fingerprints of those, by name.
        self.elsewhere = store.only_under_others(fingerprint)
        self._spelling = {name_key(name): name for name in self._known.roster.names}
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="streamer-store")
        self._following = asyncio.Lock()
        self._away = False

    def close(self) -> None:
        """Whoever still waits for the store is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def changes(self) -> int:
        """Up to which change of the store they are known."""
        return self._known.changes

    @property
    def everybody(self) -> Roster:
        return self._known.roster

    def invited(self, names: Sequence[str] | None) -> tuple[str, ...] | None:
        """The names of those whom a new stream listens for, as they are spelled here; None for everybody.

        Raises Refusal: "invalid_message" for what cannot be a name, "unknown_speaker" for one that nobody has.
        """
        if names is None:
            return None
        try:
            clean = {name_key(name): clean_name(name) for name in names}
        except ConfigurationError as error:
            raise Refusal("invalid_message", str(error), "Change the roster in `start`.", fatal=True) from None
        if missing := [name for key, name in clean.items() if key not in self._spelling]:
            message = f"Of the roster are not enrolled: {few(missing)}."
            if only := elsewhere.among(self.elsewhere, missing):
                message += f" Under another model than this server's: {few(only)}."
            raise Refusal("unknown_speaker", message, "Enrol them, or leave them out.", fatal=True)
        return tuple(self._spelling[key] for key in clean)

    def roster(self, names: Sequence[str] | None) -> Roster:
        """Whom a running stream listens for: those of `names` who are enrolled by now; None: everybody."""
        everybody = self._known.roster
        if names is None:
            return everybody
        there = (self._spelling.get(name_key(name)) for name in names)
        places = {everybody.index(name) for name in there if name is not None}
        return everybody.at(sorted(place for place in places if place is not None))

    def page(self, after: str | None = None, limit: int = PAGE) -> dict[str, Any]:
        """Those who come after a name, at most `limit` of them: the body of `speaker_list`."""
        roster, counts = self._known.roster, self._known.counts
        start = 0 if after is None else bisect_right(roster.names, after)
        listed: list[dict[str, Any]] = []
        size = 0
        for place in range(start, min(len(roster), start + min(limit, PAGE))):
            name = roster.names[place]
            size += len(json.dumps(name, ensure_ascii=False)) + 64
            if listed and size > PAGE_SIZE:
                break
            speech = round(float(roster.speech_s[place]), 2)
            listed.append({"name": name, "exemplars": int(counts[place]), "speech": speech})
        return {"speakers": listed, "total": len(roster), "more": start + len(listed) < len(roster)}

    async def profile(self, name: str) -> Profile | None:
        """What there is of somebody, exemplar by exemplar."""
        return next(iter(await self._ask(lambda: self._store.profiles(self._fingerprint, [name]))), None)

    async def refresh(self) -> bool:
        """Read what has changed in the store; whether anything had. Goes on with what is still to be erased."""
        async with self._following:
            changes, erasing = await self._ask(self._store.pulse)
            if erasing and await self._ask(lambda: self._store.finish_erasing(0.0)):
                log.say("erased", store=self._store.where)
            if changes == self._known.changes:
                return False
            self._known, gone, came = await self._ask(self._follow)
            for key, name in gone.items():
                if self._spelling.get(key) == name:
                    del self._spelling[key]
            self._spelling.update(came)
            return True

    def _follow(self) -> tuple[Known, dict[str, str], dict[str, str]]:
        """In a thread: the speakers as they are now, and the names that went and came, by their keys."""
        old = self._known
        known, change = old.follow(self._store, self._fingerprint, self.backend.cohort)
        gone, came = _names(old, known, change)
        return known, {name_key(name): name for name in gone}, {name_key(name): name for name in came}

    async def add(self, name: str, exemplars: Sequence[Exemplar]) -> None:
        await self._ask(lambda: self._store.add(name, self._fingerprint, exemplars))
        await self._catch_up()

    async def rename(self, name: str, to: str) -> bool:
        """Whether the old name is erased from the store's files by now."""
        return await self._change(lambda: self._store.rename(name, to))

    async def remove(self, name: str) -> bool:
        """Whether the voice print is erased from the store's files by now."""
        return await self._change(lambda: self._store.remove(name))

    async def _change(self, change: Callable[[], None]) -> bool:
        try:
            await self._ask(change)
            erased = True
        except StoreNotErased:
            log.say("not erased yet", level=logging.WARNING, store=self._store.where, advice="it is tried again")
            erased = False
        await self._catch_up()
        return erased

    async def _catch_up(self) -> None:
        """See a change that was made; where the store is not free just now, it is seen at the next look."""
        with contextlib.suppress(Refusal):
            await self.refresh()

    async def _ask(self, question: Callable[[], T]) -> T:
        """Ask the store, and put what it cannot do into words that a client may hear: no path, no address."""
        busy = "The speaker store is not free just now."
        try:
            # Not `wait_for`, which on Python 3.11 forgets a cancellation where the answer comes at that moment.
            async with asyncio.timeout(PATIENCE_S):
                answer = await asyncio.wrap_future(self._pool.submit(question))
            if self._away:
                self._away = False
                log.say("speaker store back", store=self._store.where)
            return answer
        except SpeakerNotFound as error:
            raise Refusal("unknown_speaker", str(error), "Ask for the list.") from None
        except SpeakerExists as error:
            raise Refusal("conflict", str(error), "Choose another name.") from None
        except StoreNotErased:
            raise
        except (StoreBusy, StoreUnreachable, TimeoutError) as error:
            if not self._away:  # it is asked twice a second: once says it all
                _log(self._store, error)
            self._away = not isinstance(error, StoreBusy)
            change = "It can be tried again in a moment."
            raise Refusal("busy", busy, change, retry_after=RETRY_AFTER_S) from None
        except (StoreError, ConfigurationError) as error:
            _log(self._store, error)
            message = "The speaker store can't do this."
            raise Refusal("internal", message, "The server's operator finds the reason in its log.") from None


def _log(store: SpeakerStore, error: Exception) -> None:
    problem = str(error) or f"no answer within {PATIENCE_S:g} s"
    log.say("speaker store", level=logging.ERROR, store=store.where, kind=type(error).__name__, problem=problem[:500])


def _names(old: Known, known: Known, change: StoreChanges) -> tuple[list[str], list[str]]:
    """The names that a change took away, and those that it brought."""
    if change.whole:
        return list(old.roster.names), list(known.roster.names)
    touched = np.isin(old.ids, np.concatenate([change.gone, change.voices.ids]))
    return [old.roster.names[place] for place in np.flatnonzero(touched)], change.voices.names

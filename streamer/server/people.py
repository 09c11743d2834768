"""The enrolled speakers for the server's streams: synchronised with the store, changed off the event loop.

The store is a database that other processes change too. Its counter is read twice a second; changes are then loaded,
and every stream is told. Nothing that runs on the loop here grows with the number of people.
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

#: Threads that wait for the store: one that hangs must not block all requests.
THREADS = 4
#: How long a client waits for the store, in seconds; the timeouts of the store itself are shorter.
PATIENCE_S = 15.0
#: Limits of one page of the list, in people and in characters, well below the limit of one message.
PAGE = 1000
PAGE_SIZE = 128 * 1024


class People:
    """The profiles of one model. backend: their scoring; its cohort's norms are computed here.

    Methods that use the store run in a thread and raise Refusal if a request fails.
    """

    def __init__(self, store: SpeakerStore, fingerprint: str, dimension: int, backend: Backend) -> None:
        self.backend = backend
        self._store = store
        self._fingerprint = fingerprint
        self._known = Known.load(store, fingerprint, dimension, backend.cohort)
        #: Speakers who were enrolled at the start under other models only: the fingerprints of those models, by name.
        self.elsewhere = store.only_under_others(fingerprint)
        self._spelling = {name_key(name): name for name in self._known.roster.names}
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="streamer-store")
        self._following = asyncio.Lock()
        self._away = False

    def close(self) -> None:
        """Do not wait for the remaining requests to the store."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def changes(self) -> int:
        """The counter of the last change that was loaded."""
        return self._known.changes

    @property
    def everybody(self) -> Roster:
        return self._known.roster

    def invited(self, names: Sequence[str] | None) -> tuple[str, ...] | None:
        """The roster of a new stream, in the store's spelling; None for everybody.

        Raises Refusal: "invalid_message" for an invalid name, "unknown_speaker" for one that is not enrolled.
        """
        if names is None:
            return None
        try:
            clean = {name_key(name): clean_name(name) for name in names}
        except ConfigurationError as error:
            raise Refusal("invalid_message", str(error), "Change the roster in `start`.", fatal=True) from None
        if missing := [name for key, name in clean.items() if key not in self._spelling]:
            message = f"The roster has people who are not enrolled: {few(missing)}."
            if only := elsewhere.among(self.elsewhere, missing):
                message += f" Enrolled under another model only: {few(only)}."
            raise Refusal("unknown_speaker", message, "Enrol them, or leave them out.", fatal=True)
        return tuple(self._spelling[key] for key in clean)

    def roster(self, names: Sequence[str] | None) -> Roster:
        """The roster of a running stream: those of `names` who are enrolled now; None: everybody."""
        everybody = self._known.roster
        if names is None:
            return everybody
        there = (self._spelling.get(name_key(name)) for name in names)
        places = {everybody.index(name) for name in there if name is not None}
        return everybody.at(sorted(place for place in places if place is not None))

    def page(self, after: str | None = None, limit: int = PAGE) -> dict[str, Any]:
        """At most `limit` speakers after a name: the body of `speaker_list`."""
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
        """A speaker's profile, with each exemplar."""
        return next(iter(await self._ask(lambda: self._store.profiles(self._fingerprint, [name]))), None)

    async def refresh(self) -> bool:
        """Load changes of the store; returns whether there were any. Also continues pending erasures."""
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
        """In a thread: the current speakers, and the names that were removed and added, by their keys."""
        old = self._known
        known, change = old.follow(self._store, self._fingerprint, self.backend.cohort)
        gone, came = _names(old, known, change)
        return known, {name_key(name): name for name in gone}, {name_key(name): name for name in came}

    async def add(self, name: str, exemplars: Sequence[Exemplar]) -> None:
        await self._ask(lambda: self._store.add(name, self._fingerprint, exemplars))
        await self._catch_up()

    async def rename(self, name: str, to: str) -> bool:
        """Returns whether the old name is erased from the store's files by now."""
        return await self._change(lambda: self._store.rename(name, to))

    async def remove(self, name: str) -> bool:
        """Returns whether the voice print is erased from the store's files by now."""
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
        """Load a change that was made; if the store is busy, the next refresh loads it."""
        with contextlib.suppress(Refusal):
            await self.refresh()

    async def _ask(self, question: Callable[[], T]) -> T:
        """Query the store, and turn its errors into messages that a client may see: without paths or addresses."""
        busy = "The speaker store is busy at the moment."
        try:
            # Not `wait_for`: on Python 3.11 it loses a cancellation that coincides with the answer.
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
            if not self._away:  # it is polled twice a second: one log line is enough
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
    """The names that a change removed, and those that it added."""
    if change.whole:
        return list(old.roster.names), list(known.roster.names)
    touched = np.isin(old.ids, np.concatenate([change.gone, change.voices.ids]))
    return [old.roster.names[place] for place in np.flatnonzero(touched)], change.voices.names

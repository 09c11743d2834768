"""Keeps the roster of a session in step with the store while other processes enrol, rename and remove people."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from streamer.speakers.events import Event, TurnEnd
from streamer.speakers.library import Speakers
from streamer.speakers.profiles import Exemplar, Roster
from streamer.speakers.tracker import Tracker

#: The interval between checks of the store for enrolled, renamed or removed speakers.
WATCH_S = 0.5


class RosterFeed:
    """Polls the store for changes, at most every half second.

    names: the speakers to listen for; None for all enrolled speakers, including those enrolled later.
    clock: seconds, monotonic.
    """

    def __init__(
        self, speakers: Speakers, names: Sequence[str] | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._speakers, self._names, self._clock = speakers, names, clock
        self._changes = speakers.store.changes()
        self._looked = clock()
        speakers.tell_of_others()

    def poll(self) -> Roster | None:
        """The roster, if the store has changed since the last call; None otherwise, or if it is too early to check
        again."""
        if self._clock() - self._looked < WATCH_S:
            return None
        self._looked = self._clock()
        changes = self._speakers.store.changes()
        if changes == self._changes:
            return None
        self._changes = changes
        if self._names is None:
            return self._speakers.roster()
        spelled = [self._speakers.store.spelled(name) for name in self._names]
        everybody = self._speakers.roster()
        # Drop speakers who were removed, or who are now enrolled only under another model.
        wanted = [name for name in spelled if name is not None and everybody.index(name) is not None]
        return self._speakers.roster(wanted)


def keep_guests(speakers: Speakers, tracker: Tracker, events: Iterable[Event], session: str) -> None:
    """Keep the voices of guests whose turns have ended in the store for a day, so that they can be named."""
    guests = tracker.guests
    for event in events:
        if isinstance(event, TurnEnd) and (slot := guests.slot(event.speaker)) is not None:
            heard = Exemplar(guests.centroids[slot].copy(), float(guests.speech_s[slot]), source=f"guest of {session}")
            speakers.store.remember_guest(session, event.speaker, speakers.model.fingerprint, heard)

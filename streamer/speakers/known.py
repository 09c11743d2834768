"""The speakers of one model in memory, kept in step with the store at a cost that depends only on what has changed.

There may be a hundred thousand speakers, so there is no Python object for each. Their centroids are one matrix, and a
change copies the matrix (numpy lets other threads run meanwhile) instead of reading the store again.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, select

from streamer.speakers import apart
from streamer.speakers.lineage import Lineage, Moves
from streamer.speakers.opened import counter
from streamer.speakers.profiles import Roster, Vector, unit
from streamer.speakers.tables import REMEMBERED, exemplars, removed, speakers

if TYPE_CHECKING:
    from streamer.speakers.backend import Cohort

#: The number of exemplars to fetch from the database at once.
CHUNK = 4096


@dataclass(frozen=True, slots=True)
class KnownVoices:
    """Speakers and their centroids.

    ids, counts, speech_s (speakers,): the id in the store, the number of exemplars, seconds of speech.
    centroids: (speakers, dimension) float32, length one.
    """

    ids: NDArray[np.int64]
    names: list[str]
    counts: NDArray[np.int64]
    speech_s: Vector
    centroids: Vector


@dataclass(frozen=True, slots=True)
class StoreChanges:
    """The store at change number `changes`.

    whole: `voices` holds all speakers. Otherwise it holds only those that have changed, and `gone` the removed ones.
    """

    changes: int
    whole: bool
    gone: NDArray[np.int64]
    voices: KnownVoices


class Followable(Protocol):
    """The part of a `SpeakerStore` that its followers need."""

    def follow(self, fingerprint: str, seen: int | None) -> StoreChanges: ...


def followed(connection: Connection, fingerprint: str, seen: int | None) -> StoreChanges:
    """See `SpeakerStore.follow`."""
    changes = counter(connection, "changes")
    whole = seen is None or seen < changes - REMEMBERED or seen > changes
    query = (
        select(speakers.c.id, speakers.c.name, exemplars.c.embedding, exemplars.c.speech_s)
        .join(exemplars)
        .where(exemplars.c.fingerprint == fingerprint)
        .order_by(speakers.c.id, exemplars.c.id)
    )
    if whole:
        return StoreChanges(changes, True, np.zeros(0, np.int64), _voices(connection, query))
    touched = list(connection.scalars(select(speakers.c.id).where(speakers.c.revision > seen)))
    gone = list(connection.scalars(select(removed.c.id).where(removed.c.revision > seen)))
    voices = _voices(connection, query.where(speakers.c.revision > seen))
    there = set(voices.ids.tolist())
    lost = [number for number in [*gone, *touched] if number not in there]
    return StoreChanges(changes, False, np.array(lost, np.int64), voices)


def _voices(connection: Connection, query: Any) -> KnownVoices:
    """The centroids of many speakers at a time, computed like `profiles.centroid`."""
    ids: list[int] = []
    names: list[str] = []
    parts: list[tuple[NDArray[np.int64], Vector, Vector]] = []
    for rows in _chunks(connection, query):
        starts = [at for at, row in enumerate(rows) if at == 0 or row.id != rows[at - 1].id]
        ids += [rows[at].id for at in starts]
        names += [rows[at].name for at in starts]
        seconds = np.array([row.speech_s for row in rows], np.float32)
        vectors = np.frombuffer(b"".join(row.embedding for row in rows), "<f4").reshape(len(rows), -1)
        weighted = unit(vectors) * np.maximum(seconds, np.float32(0.1))[:, None]
        parts.append(
            (
                np.diff([*starts, len(rows)]),
                np.add.reduceat(seconds, starts),
                unit(np.add.reduceat(weighted, starts, axis=0)),
            )
        )
    if not parts:
        nothing = np.zeros(0, np.float32)
        return KnownVoices(np.zeros(0, np.int64), [], np.zeros(0, np.int64), nothing, np.zeros((0, 0), np.float32))
    counts, seconds_of, centroids = (np.concatenate(part) for part in zip(*parts, strict=True))
    return KnownVoices(np.array(ids, np.int64), names, counts, seconds_of, centroids)


def _chunks(connection: Connection, query: Any) -> Iterator[Sequence[Row[Any]]]:
    """Chunks of about `CHUNK` rows. The rows of one speaker stay together."""
    result = connection.execution_options(yield_per=CHUNK).execute(query)
    rest: list[Row[Any]] = []
    for part in result.partitions():
        rows = [*rest, *part]
        cut = next((at for at in range(len(rows) - 1, 0, -1) if rows[at].id != rows[at - 1].id), 0)
        if cut:
            yield rows[:cut]
        rest = rows[cut:]
    if rest:
        yield rest


@dataclass(frozen=True, slots=True)
class Known:
    """The speakers of one model at one change of the store, sorted by name.

    roster: to score against. ids, counts: (speakers,), see `KnownVoices`. changes: the number of the last change.
    lineage: how the roster came from earlier ones; `version` is its number there.
    """

    roster: Roster
    ids: NDArray[np.int64]
    counts: NDArray[np.int64]
    changes: int
    lineage: Lineage
    version: int

    @classmethod
    def load(cls, store: Followable, fingerprint: str, dimension: int, cohort: Cohort | None = None) -> Known:
        """Read all speakers. cohort: used to compute norms, which takes a while."""
        return cls._of(store.follow(fingerprint, None), dimension, cohort)

    def follow(self, store: Followable, fingerprint: str, cohort: Cohort | None = None) -> tuple[Known, StoreChanges]:
        """The speakers as the store has them now, and what has changed."""
        change = store.follow(fingerprint, self.changes)
        if change.whole:
            return self._of(change, self.roster.dimension, cohort), change
        return self._changed(change, cohort), change

    @classmethod
    def _of(cls, change: StoreChanges, dimension: int, cohort: Cohort | None) -> Known:
        voices = change.voices
        if not len(voices.ids):
            return cls(Roster.empty(dimension), voices.ids, voices.counts, change.changes, Lineage(), 0)
        order = np.array(sorted(range(len(voices.names)), key=voices.names.__getitem__), np.int64)
        rows = apart.empty((dimension, len(order)))
        np.take(voices.centroids.T, order, axis=1, out=rows, mode="clip")
        lineage = Lineage()
        roster = Roster.of_parts(
            [voices.names[place] for place in order],
            rows.T,
            voices.speech_s[order],
            in_order=True,
            lineage=(lineage, 0),
        )
        if cohort is not None:
            roster.norms(cohort)
        return cls(roster, voices.ids[order], voices.counts[order], change.changes, lineage, 0)

    def _changed(self, change: StoreChanges, cohort: Cohort | None) -> Known:
        old, voices = self.roster, change.voices
        touched = np.isin(self.ids, np.concatenate([change.gone, voices.ids]))
        kept = np.flatnonzero(~touched)
        order = sorted(range(len(voices.names)), key=voices.names.__getitem__)
        # Merge new speakers into those who stay, by name: old indices, and -1 - n for the nth new speaker.
        before = [bisect_left(old.names, voices.names[place]) for place in order]
        source = np.insert(kept, np.searchsorted(kept, before), -1 - np.arange(len(order)))
        came = np.flatnonzero(source < 0)
        if not len(source):
            return Known(Roster.empty(old.dimension), voices.ids, voices.counts, change.changes, Lineage(), 0)

        def merged(theirs: NDArray[Any], new: NDArray[Any]) -> NDArray[Any]:
            made = theirs[np.maximum(source, 0)] if len(theirs) else np.zeros(len(source), new.dtype)
            made[came] = new[order]
            return made

        ids = merged(self.ids, voices.ids)
        rows = apart.empty((old.dimension, len(source)))
        if len(old):
            np.take(old.centroids.T, np.maximum(source, 0), axis=1, out=rows, mode="clip")
        if len(came):
            rows[:, came] = voices.centroids[order].T
        names = _inserted(old.names, np.flatnonzero(touched).tolist(), came.tolist(), [voices.names[i] for i in order])
        # A speaker with a new voice or a new name is still the same person to those who listen.
        places = source.copy()
        where = {number: place for place, number in zip(np.flatnonzero(touched), self.ids[touched], strict=True)}
        places[came] = [where.get(number, -1) for number in ids[came].tolist()]
        fresh = np.zeros(len(source), bool)
        fresh[came] = True
        self.lineage.add(self.version + 1, Moves(places.astype(np.int32), fresh))
        norms = None
        if cohort is not None and len(old):
            of_old, of_new = old.norms(cohort), cohort.norms(rows[:, came].T)
            worked_out = of_old[np.maximum(source, 0)]
            worked_out[came] = of_new
            norms = (cohort, worked_out)
        roster = Roster.of_parts(
            names,
            rows.T,
            merged(old.speech_s, voices.speech_s),
            norms=norms,
            in_order=True,
            lineage=(self.lineage, self.version + 1),
        )
        if cohort is not None and norms is None:
            roster.norms(cohort)
        counts = merged(self.counts, voices.counts)
        return Known(roster, ids, counts, change.changes, self.lineage, self.version + 1)


def _inserted(names: Sequence[str], gone: Sequence[int], places: Sequence[int], new: Sequence[str]) -> list[str]:
    """`names` without the entries at `gone`, and with the new ones inserted at `places` of the result."""
    made = list(names)
    for place in reversed(gone):
        del made[place]
    for place, name in zip(places, new, strict=True):
        made.insert(place, name)
    return made

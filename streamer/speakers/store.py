"""The store of enrolled speakers: SQLite by default, or any database that SQLAlchemy supports.

Every change is one transaction that also increments a counter, so that other processes can cheaply see whether
something changed, and what. Embeddings of different models are stored together but never returned together. No audio
is stored.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, func, insert, or_, select, update
from sqlalchemy import delete as sql_delete

from streamer.errors import ConfigurationError, SpeakerExists, SpeakerNotFound
from streamer.speakers.guestbook import GuestBook
from streamer.speakers.known import StoreChanges, followed
from streamer.speakers.names import clean_name, few, name_key
from streamer.speakers.opened import counter
from streamer.speakers.profiles import Exemplar, Profile
from streamer.speakers.rows import columns, exemplar_of, grouped, row_of
from streamer.speakers.tables import REMEMBERED, exemplars, guests, removed, speakers

__all__ = ["SpeakerStore", "clean_name"]


class SpeakerStore(GuestBook):
    """Profiles by name. Safe to use from several threads and several processes at once.

    location: a file, a SQLAlchemy URL such as "postgresql+psycopg://host/rooms", or None for `default_path()`.
    busy_s: how long to wait for another process that is writing, for one that prevents the erasure of deleted data, and
    for a database server that does not answer.

    Raises a StoreError if the store cannot be opened: StoreUnreadable, StoreTooNew, StoreReadOnly, StoreBusy, ...
    """

    # Reading

    def changes(self) -> int:
        """A number that increases with every change, by any process: cheap enough to poll a few times a second."""
        with self._read() as connection:
            return counter(connection, "changes")

    def names(self) -> list[str]:
        """The names of all enrolled speakers, under any model, in order."""
        with self._read() as connection:
            return list(connection.scalars(select(speakers.c.name).order_by(speakers.c.name)))

    def fingerprints(self) -> dict[str, list[str]]:
        """The models under which each speaker has exemplars."""
        query = select(speakers.c.name, exemplars.c.fingerprint).outerjoin(exemplars).distinct()
        with self._read() as connection:
            found: dict[str, list[str]] = {}
            for name, fingerprint in connection.execute(query.order_by(speakers.c.name, exemplars.c.fingerprint)):
                found.setdefault(name, []).extend([fingerprint] if fingerprint else [])
            return found

    def only_under_others(self, fingerprint: str) -> dict[str, list[str]]:
        """Speakers who are enrolled, but not under the model of this fingerprint: name -> fingerprints of their
        models."""
        known = select(exemplars.c.speaker).where(exemplars.c.fingerprint == fingerprint)
        query = select(speakers.c.name, exemplars.c.fingerprint).join(exemplars).where(speakers.c.id.not_in(known))
        with self._read() as connection:
            found: dict[str, list[str]] = {}
            for name, other in connection.execute(query.distinct().order_by(speakers.c.name, exemplars.c.fingerprint)):
                found.setdefault(name, []).append(other)
            return found

    def profiles(self, fingerprint: str | None = None, names: Iterable[str] | None = None) -> list[Profile]:
        """The profiles under the model of this fingerprint, or under all models; of all speakers, or of those named."""
        query = select(speakers.c.name, *columns()).join(exemplars).order_by(speakers.c.name, exemplars.c.id)
        if fingerprint is not None:
            query = query.where(exemplars.c.fingerprint == fingerprint)
        with self._read() as connection:
            if names is not None:
                query = query.where(speakers.c.id.in_([_speaker(connection, name) for name in names]))
            return grouped(connection.execute(query))

    def follow(self, fingerprint: str, seen: int | None) -> StoreChanges:
        """The changes to the speakers of one model since change number `seen`; all speakers if it is None or too long
        ago."""
        with self._read(long=True) as connection:
            return followed(connection, fingerprint, seen)

    def spelled(self, name: str) -> str | None:
        """The stored spelling of this speaker's name; None if nobody is enrolled under it."""
        with self._read() as connection:
            speaker = _speaker(connection, name)
            return connection.scalar(select(speakers.c.name).where(speakers.c.id == speaker))

    def require(self, name: str) -> None:
        """Raises SpeakerNotFound, with a few enrolled names, if nobody of this name is enrolled."""
        with self._read() as connection:
            _known(connection, name)

    # Writing

    def add(self, name: str, fingerprint: str, new: Sequence[Exemplar]) -> int:
        """Enrol a speaker, or add exemplars to an enrolled one. Exemplars that are already there are not added again.

        Returns the number of exemplars added.
        """
        name = clean_name(name)
        with self._write() as (connection, revision):
            speaker = _speaker(connection, name)
            if speaker is None:
                values = {"name": name, "folded": name_key(name), "created": time.time(), "revision": revision}
                key = connection.execute(insert(speakers).values(values)).inserted_primary_key
                speaker = key[0]  # type: ignore[index]
            else:
                _touch(connection, speaker, revision)
            query = select(exemplars.c.embedding).where(
                exemplars.c.speaker == speaker, exemplars.c.fingerprint == fingerprint
            )
            there = set(connection.scalars(query))
            rows = [row_of(exemplar) for exemplar in new]
            rows = [{"speaker": speaker, "fingerprint": fingerprint, **row} for row in rows]
            if rows := [row for row in rows if row["embedding"] not in there]:
                connection.execute(insert(exemplars), rows)
            return len(rows)

    def rename(self, name: str, to: str) -> None:
        """Rename a speaker. Raises SpeakerNotFound, or SpeakerExists if the new name is taken: `merge` joins two
        speakers.

        Raises StoreNotErased if the name is changed, but the old one is still in SQLite's log.
        """
        to = clean_name(to)
        with self._write(erases=True) as (connection, revision):
            speaker = _known(connection, name)
            if _speaker(connection, to) not in (None, speaker):
                raise SpeakerExists(f"{to!r} is enrolled already; to make one of both: streamer speakers merge.")
            values = {"name": to, "folded": name_key(to), "revision": revision}
            connection.execute(update(speakers).where(speakers.c.id == speaker).values(values))
        self._erase(f"{name!r} is called {to!r} now, but the old name")

    def remove(self, name: str, fingerprint: str | None = None) -> None:
        """Delete a speaker and all exemplars (or those of one model), beyond recovery from the store's files.

        Raises SpeakerNotFound, or StoreNotErased if they are deleted, but still in SQLite's log.
        """
        with self._write(erases=True) as (connection, revision):
            speaker = _known(connection, name)
            chosen = exemplars.c.speaker == speaker
            if fingerprint is not None:
                chosen &= exemplars.c.fingerprint == fingerprint
            connection.execute(sql_delete(exemplars).where(chosen))
            if connection.scalar(select(func.count()).where(exemplars.c.speaker == speaker)):
                _touch(connection, speaker, revision)
            else:
                _drop(connection, speaker, revision)
        self._erase(f"{name!r} is removed, but the name and voice print")

    def merge(self, name: str, into: str) -> None:
        """Merge two names of one person: the exemplars of `name` move to `into`, and `name` is removed. Raises as
        `remove`."""
        with self._write(erases=True) as (connection, revision):
            source, target = _known(connection, name), _known(connection, into)
            if source == target:
                raise ConfigurationError(f"{name!r} and {into!r} are one already.")
            connection.execute(update(exemplars).where(exemplars.c.speaker == source).values(speaker=target))
            _touch(connection, target, revision)
            _drop(connection, source, revision)
        self._erase(f"{name!r} is one with {into!r} now, but the old name")

    def name_guest(self, label: str, name: str, stream: str | None = None) -> None:
        """Enrol a guest under a name, or add its voice to an enrolled speaker. Uses the guest with this label heard
        last."""
        name = clean_name(name)
        query = select(guests).where(guests.c.label == label).order_by(guests.c.created.desc()).limit(1)
        if stream is not None:
            query = query.where(guests.c.stream == stream)
        with self._read() as connection:
            row = connection.execute(query).first()
        if row is None:
            there = few(sorted({label for _, label, _, _ in self.guests()}))
            raise SpeakerNotFound(f"there is no {label!r} to name; guests of the last day: {there}.")
        self.add(name, row.fingerprint, [exemplar_of(row)])
        self.forget_guests(row.stream, row.label)


def _speaker(connection: Connection, name: str) -> int | None:
    """The id of the speaker enrolled under a name: in this spelling first, otherwise in another."""
    same = select(speakers.c.id, speakers.c.name).where(
        or_(speakers.c.name == name, speakers.c.folded == name_key(name))
    )
    found = connection.execute(same.order_by(speakers.c.id)).all()
    numbers: list[int] = [row.id for row in found if row.name == name] or [row.id for row in found]
    return next(iter(numbers), None)


def _known(connection: Connection, name: str) -> int:
    speaker = _speaker(connection, name)
    if speaker is None:
        there = list(connection.scalars(select(speakers.c.name).order_by(speakers.c.name).limit(20)))
        raise SpeakerNotFound(f"nobody called {name!r} is enrolled; enrolled are: {few(there)}.")
    return speaker


def _touch(connection: Connection, speaker: int, revision: int) -> None:
    connection.execute(update(speakers).where(speakers.c.id == speaker).values(revision=revision))


def _drop(connection: Connection, speaker: int, revision: int) -> None:
    """Delete a speaker without exemplars, and record the id for those who follow."""
    connection.execute(sql_delete(speakers).where(speakers.c.id == speaker))
    # SQLite reuses a free id for the next new speaker.
    gone = (removed.c.id == speaker) | (removed.c.revision <= revision - REMEMBERED)
    connection.execute(sql_delete(removed).where(gone))
    connection.execute(insert(removed).values(id=speaker, revision=revision))

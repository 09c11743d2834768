"""Where enrolled speakers are kept: SQLite by default, any database that SQLAlchemy speaks otherwise.

Every change is one transaction that also raises a counter, so that another process sees cheaply whether anything
changed. Embeddings of different models lie side by side and are never given out together. No audio is stored.
"""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, func, insert, inspect, select, update
from sqlalchemy import delete as sql_delete

from streamer.errors import ConfigurationError, SpeakerExists, SpeakerNotFound, StoreTooNew, StoreUnreadable
from streamer.speakers.database import BUSY_S, engine_of, url_of
from streamer.speakers.failures import named
from streamer.speakers.profiles import Exemplar, Profile
from streamer.speakers.tables import SCHEMA_VERSION, exemplars, guests, meta, metadata, speakers

#: Guests are for naming soon: what nobody named by then is deleted.
GUEST_DAYS = 1.0
NAME_LENGTH = 100


def clean_name(name: str) -> str:
    """A speaker's name in one spelling. Raises ConfigurationError for one that cannot be a name."""
    clean = unicodedata.normalize("NFC", " ".join(name.split()))
    if not clean or len(clean) > NAME_LENGTH or not clean.isprintable():
        raise ConfigurationError(f"{name!r} cannot be a name: use 1 to {NAME_LENGTH} printable characters.")
    if clean == "unknown" or (clean.startswith("guest-") and clean.removeprefix("guest-").isdigit()):
        raise ConfigurationError(f"{clean!r} is what strangers are called; choose another name.")
    return clean


class SpeakerStore:
    """Profiles by name. Safe to use from several threads and several processes at once.

    location: a file, a SQLAlchemy URL such as "postgresql+psycopg://host/rooms", or None for `default_path()`.

    Raises a StoreError where the store cannot be opened: StoreUnreadable, StoreTooNew, StoreReadOnly, StoreBusy, ...
    """

    def __init__(self, location: str | Path | None = None, *, busy_s: float = BUSY_S) -> None:
        self.url = url_of(location)
        self.where = self.url.database if self.url.drivername.startswith("sqlite") else str(self.url)
        if self.url.drivername.startswith("sqlite") and self.url.database and self.url.database != ":memory:":
            with named(self.where):
                path = Path(self.url.database)
                path.parent.mkdir(parents=True, exist_ok=True)
                if not path.exists() and "uri" not in self.url.query:
                    # Voice prints are nobody else's business; SQLite gives its own files beside it the same mode.
                    path.touch(mode=0o600)
        self._engine = engine_of(self.url, busy_s)
        try:
            with named(self.where):
                self._prepare()
        except BaseException:
            self._engine.dispose()
            raise

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> SpeakerStore:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # Reading

    def changes(self) -> int:
        """A number that rises with every change, by whatever process: cheap enough to ask a few times a second."""
        with self._read() as connection:
            return int(connection.scalar(select(meta.c.value).where(meta.c.key == "changes")) or 0)

    def names(self) -> list[str]:
        """Everybody enrolled, by name, under whichever model."""
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

    def profiles(self, fingerprint: str | None = None) -> list[Profile]:
        """The profiles made with the model of this fingerprint, or of all models, by name."""
        query = select(speakers.c.name, *_columns()).join(exemplars).order_by(speakers.c.name, exemplars.c.id)
        if fingerprint is not None:
            query = query.where(exemplars.c.fingerprint == fingerprint)
        grouped: dict[tuple[str, str], list[Exemplar]] = {}
        with self._read() as connection:
            for row in connection.execute(query):
                grouped.setdefault((row.name, row.fingerprint), []).append(_exemplar(row))
        return [Profile(name, model, tuple(found)) for (name, model), found in grouped.items()]

    # Writing

    def add(self, name: str, fingerprint: str, new: Sequence[Exemplar]) -> None:
        """Enrol a speaker, or add exemplars to one who is; those that are there already are not added twice."""
        name = clean_name(name)
        with self._write() as connection:
            speaker = _speaker(connection, name)
            if speaker is None:
                speaker = connection.execute(
                    insert(speakers).values(name=name, created=time.time())
                ).inserted_primary_key[0]  # type: ignore[index]
            query = select(exemplars.c.embedding).where(
                exemplars.c.speaker == speaker, exemplars.c.fingerprint == fingerprint
            )
            there = set(connection.scalars(query))
            rows = [_row(exemplar) for exemplar in new]
            rows = [{"speaker": speaker, "fingerprint": fingerprint, **row} for row in rows]
            if rows := [row for row in rows if row["embedding"] not in there]:
                connection.execute(insert(exemplars), rows)

    def rename(self, name: str, to: str) -> None:
        """Raises SpeakerNotFound, or SpeakerExists where the new name is taken: `merge` would make one of two."""
        to = clean_name(to)
        with self._write() as connection:
            speaker = self._known(connection, name)
            if _speaker(connection, to) is not None:
                raise SpeakerExists(f"{to!r} is enrolled already; to make one of both: streamer speakers merge.")
            connection.execute(update(speakers).where(speakers.c.id == speaker).values(name=to))

    def remove(self, name: str, fingerprint: str | None = None) -> None:
        """Delete a speaker and all exemplars (or those of one model), beyond recovery from the file."""
        with self._write() as connection:
            speaker = self._known(connection, name)
            chosen = exemplars.c.speaker == speaker
            if fingerprint is not None:
                chosen &= exemplars.c.fingerprint == fingerprint
            connection.execute(sql_delete(exemplars).where(chosen))
            left = connection.scalar(select(func.count()).where(exemplars.c.speaker == speaker))
            if not left:
                connection.execute(sql_delete(speakers).where(speakers.c.id == speaker))
        self._wipe()

    def merge(self, name: str, into: str) -> None:
        """Two names were one person: the exemplars of `name` go to `into`, and `name` is gone."""
        with self._write() as connection:
            source, target = self._known(connection, name), self._known(connection, into)
            if source == target:
                raise ConfigurationError(f"{name!r} and {into!r} are one already.")
            connection.execute(update(exemplars).where(exemplars.c.speaker == source).values(speaker=target))
            connection.execute(sql_delete(speakers).where(speakers.c.id == source))
        self._wipe()

    # Guests

    def remember_guest(self, stream: str, label: str, fingerprint: str, heard: Exemplar) -> None:
        """Keep a guest's voice for a day, so that `name_guest` can enrol it; replaces what was kept of it before."""
        now = time.time()
        with self._write(quiet=True) as connection:
            mine = (guests.c.stream == stream) & (guests.c.label == label)
            connection.execute(sql_delete(guests).where(mine | (guests.c.created < now - GUEST_DAYS * 86400)))
            values = {**_row(heard), "created": now}
            connection.execute(insert(guests).values(stream=stream, label=label, fingerprint=fingerprint, **values))

    def guests(self) -> list[tuple[str, str, float, float]]:
        """The guests that can still be named: (stream, label, seconds of speech, when), the latest first."""
        query = select(guests.c.stream, guests.c.label, guests.c.speech_s, guests.c.created)
        query = query.where(guests.c.created >= time.time() - GUEST_DAYS * 86400).order_by(guests.c.created.desc())
        with self._read() as connection:
            return [(row.stream, row.label, row.speech_s, row.created) for row in connection.execute(query)]

    def name_guest(self, label: str, name: str, stream: str | None = None) -> None:
        """Enrol a guest under a name, the last one heard of this label; or add its voice to one who is enrolled."""
        query = select(guests).where(guests.c.label == label).order_by(guests.c.created.desc()).limit(1)
        if stream is not None:
            query = query.where(guests.c.stream == stream)
        with self._read() as connection:
            row = connection.execute(query).first()
        if row is None:
            there = ", ".join(sorted({label for _, label, _, _ in self.guests()})) or "none"
            raise SpeakerNotFound(f"there is no {label!r} to name; guests of the last day: {there}.")
        self.add(name, row.fingerprint, [_exemplar(row)])
        self.forget_guests(row.stream, row.label)

    def forget_guests(self, stream: str | None = None, label: str | None = None) -> None:
        """Delete the guests of a stream, one of them, or all."""
        chosen = sql_delete(guests)
        for column, value in ((guests.c.stream, stream), (guests.c.label, label)):
            chosen = chosen if value is None else chosen.where(column == value)
        with self._write(quiet=True) as connection:
            connection.execute(chosen)
        self._wipe()

    # Within

    def _prepare(self) -> None:
        with self._engine.connect().execution_options(write=True) as connection, connection.begin():
            there = inspect(connection).get_table_names()
            if there and "streamer_meta" not in there:
                raise StoreUnreadable(
                    f"{self.where} is a database, but not a speaker store (it has {', '.join(sorted(there)[:3])}); "
                    "choose another file."
                )
            metadata.create_all(connection)
            version = connection.scalar(select(meta.c.value).where(meta.c.key == "schema_version"))
            if version is None:
                rows = [{"key": "schema_version", "value": SCHEMA_VERSION}, {"key": "changes", "value": 0}]
                connection.execute(insert(meta), rows)
            elif version > SCHEMA_VERSION:
                raise StoreTooNew(
                    f"{self.where} has schema {version}, this version of streamer knows up to {SCHEMA_VERSION}; "
                    "upgrade streamer, or choose another store."
                )
            connection.execute(sql_delete(guests).where(guests.c.created < time.time() - GUEST_DAYS * 86400))

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with named(self.where), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def _write(self, quiet: bool = False) -> Iterator[Connection]:
        """One transaction; unless `quiet`, one that counts as a change of the profiles."""
        with named(self.where), self._engine.connect().execution_options(write=True) as connection, connection.begin():
            yield connection
            if not quiet:
                connection.execute(update(meta).where(meta.c.key == "changes").values(value=meta.c.value + 1))

    def _wipe(self) -> None:
        """What was deleted leaves the write-ahead log too, as soon as nobody reads it any more."""
        if self._engine.dialect.name == "sqlite":
            with named(self.where), self._engine.connect() as connection:
                raw = connection.connection.dbapi_connection
                raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[union-attr]

    def require(self, name: str) -> None:
        """Raises SpeakerNotFound, with those who are, where nobody of this name is enrolled."""
        with self._read() as connection:
            self._known(connection, name)

    def _known(self, connection: Connection, name: str) -> int:
        speaker = _speaker(connection, clean_name(name))
        if speaker is None:
            there = list(connection.scalars(select(speakers.c.name).order_by(speakers.c.name).limit(20)))
            raise SpeakerNotFound(f"nobody called {name!r} is enrolled; enrolled are: {', '.join(there) or 'nobody'}.")
        return speaker


def _speaker(connection: Connection, name: str) -> int | None:
    return connection.scalar(select(speakers.c.id).where(speakers.c.name == name))


def _columns() -> Iterable[Any]:
    return [column for column in exemplars.c if column.name not in ("id", "speaker")]


def _row(exemplar: Exemplar) -> dict[str, Any]:
    embedding = np.asarray(exemplar.embedding, "<f4")
    if embedding.ndim != 1 or not np.isfinite(embedding).all():
        raise ConfigurationError("an exemplar's embedding must be a finite vector.")
    return {
        "embedding": embedding.tobytes(),
        "speech_s": float(exemplar.speech_s),
        "quality": float(exemplar.quality),
        "created": float(exemplar.created or time.time()),
        "source": exemplar.source,
    }


def _exemplar(row: Row[Any]) -> Exemplar:
    embedding = np.frombuffer(row.embedding, "<f4").astype(np.float32)
    return Exemplar(embedding, row.speech_s, row.quality, row.created, row.source)

"""The base of the speaker store: opening it, its transactions, and erasing deleted data."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from sqlalchemy import Connection, insert, inspect, select, update
from sqlalchemy import delete as sql_delete
from sqlalchemy.exc import DBAPIError

from streamer.errors import StoreNotErased, StoreTooNew, StoreUnreadable
from streamer.speakers import erasure
from streamer.speakers.database import BUSY_S, LONG_S, MARGIN_S, address, answered, engine_of, url_of
from streamer.speakers.failures import named
from streamer.speakers.tables import SCHEMA_VERSION, SESSIONS, guests, meta, metadata, upgrade

#: Guests are kept to be named soon: after this time they are deleted.
GUEST_DAYS = 1.0


class Opened:
    """An open store; see `SpeakerStore`."""

    def __init__(self, location: str | Path | None = None, *, busy_s: float = BUSY_S) -> None:
        self.url = url_of(location)
        self.where = address(self.url)
        self._busy_s = busy_s
        if self.url.drivername.startswith("sqlite") and self.url.database and self.url.database != ":memory:":
            with named(self.where):
                path = Path(self.url.database)
                path.parent.mkdir(parents=True, exist_ok=True)
                if not path.exists() and "uri" not in self.url.query:
                    # Voice prints are private. SQLite gives its extra files the same mode.
                    path.touch(mode=0o600)
        self._engine = engine_of(self.url, busy_s)
        try:
            with named(self.where):
                self._prepare()
            self.finish_erasing(patience_s=0.0)
        except BaseException:
            self._engine.dispose()
            raise

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # Erasure

    def erasing(self) -> bool:
        """Whether deleted data may still be in SQLite's log."""
        with self._read() as connection:
            return counter(connection, "erasure") > 0

    def finish_erasing(self, patience_s: float | None = None) -> bool:
        """Erase deleted data from SQLite's log. Returns whether none is left. patience_s: None uses `busy_s`."""
        with self._read() as connection:
            due = counter(connection, "erasure")
        if due == 0:
            return True
        with named(self.where):
            if not erasure.checkpoint(self._engine, self._busy_s if patience_s is None else patience_s):
                return False
            try:
                with self._transaction() as connection:
                    # Unless another process has deleted more meanwhile.
                    done = (meta.c.key == "erasure") & (meta.c.value == due)
                    connection.execute(update(meta).where(done).values(value=0))
            except DBAPIError:
                return True  # the log is empty; another process can note that later
        return True

    def _erase(self, what: str) -> None:
        if not self.finish_erasing():
            raise StoreNotErased(
                f"{what} is still in {self.where}-wal: another process has been reading an older state of the store "
                f"for {self._busy_s:g} s. It goes when that process lets go; `streamer speakers erase` makes sure."
            )

    # Internals

    def _prepare(self) -> None:
        with self._transaction() as connection:
            there = [name for name in inspect(connection).get_table_names() if name != SESSIONS]
            if there and "streamer_meta" not in there:
                raise StoreUnreadable(
                    f"{self.where} is a database, but not a speaker store (it has {', '.join(sorted(there)[:3])}); "
                    "choose another file."
                )
            version = None
            if there:
                version = connection.scalar(select(meta.c.value).where(meta.c.key == "schema_version"))
            if version is not None and version > SCHEMA_VERSION:
                raise StoreTooNew(
                    f"{self.where} has schema {version}, this version of streamer knows up to {SCHEMA_VERSION}; "
                    "upgrade streamer, or choose another store."
                )
            metadata.create_all(connection)
            if version is None:
                rows = [{"key": "schema_version", "value": SCHEMA_VERSION}, {"key": "changes", "value": 0}]
                connection.execute(insert(meta), rows)
            elif version < SCHEMA_VERSION:
                upgrade(connection, version)
            if connection.scalar(select(meta.c.value).where(meta.c.key == "erasure")) is None:
                connection.execute(insert(meta).values(key="erasure", value=0))
            self._forget_old(connection)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        connecting = self._engine.connect().execution_options(write=True)
        # A writer may first wait `busy_s` for another one.
        with connecting as connection, answered(connection, self._busy_s + MARGIN_S), connection.begin():
            yield connection

    def _forget_old(self, connection: Connection) -> None:
        """Delete the guests that nobody named in time."""
        old = guests.c.created < time.time() - GUEST_DAYS * 86400
        if connection.execute(sql_delete(guests).where(old)).rowcount:
            _note_erasure(connection)

    def pulse(self) -> tuple[int, bool]:
        """`changes` and `erasing` in one query, for callers that poll a few times a second."""
        with self._read() as connection:
            return counter(connection, "changes"), counter(connection, "erasure") > 0

    @contextmanager
    def _read(self, *, long: bool = False) -> Iterator[Connection]:
        """A read-only transaction. long: it reads all speakers, which may take a while."""
        limit_s = LONG_S if long else self._busy_s + MARGIN_S
        with named(self.where), self._engine.connect() as connection, answered(connection, limit_s), connection.begin():
            yield connection

    @contextmanager
    def _write(self, *, quiet: bool = False, erases: bool = False) -> Iterator[tuple[Connection, int]]:
        """A writing transaction, and the number of this change.

        quiet: it does not count as a change of the profiles. erases: it deletes data that must leave the database's
            files.
        """
        with named(self.where), self._transaction() as connection:
            revision = counter(connection, "changes") + 1
            yield connection, revision
            if not quiet:
                connection.execute(update(meta).where(meta.c.key == "changes").values(value=revision))
            if erases:
                _note_erasure(connection)


def counter(connection: Connection, key: str) -> int:
    return int(connection.scalar(select(meta.c.value).where(meta.c.key == key)) or 0)


def _note_erasure(connection: Connection) -> None:
    connection.execute(update(meta).where(meta.c.key == "erasure").values(value=meta.c.value + 1))

"""Sessions in a database that several servers share: PostgreSQL, or SQLite on one machine. A folder is better there: a
server that hangs while it writes locks all others out of an SQLite file.

On PostgreSQL the table is unlogged: data that changes every few seconds would otherwise be written twice, and sent to
every standby. After a crash of the database the table is empty, and full again once every server has written its
sessions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Float,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    func,
    inspect,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from streamer.errors import ConfigurationError
from streamer.server.keeping.sessionstore import Item, Taken
from streamer.speakers.database import MARGIN_S, address, answered, engine_of, url_of
from streamer.speakers.failures import named
from streamer.speakers.tables import SESSIONS

#: How long to wait for another writer, in seconds; for a server that does not answer, `MARGIN_S` longer.
BUSY_S = 3.0

#: The clock of the database, in seconds.
CLOCKS = {
    "postgresql": "extract(epoch from clock_timestamp())",
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
}

# Rows are numbers that do not compress, and each is replaced every few seconds.
TUNING = (
    f"ALTER TABLE {SESSIONS} ALTER COLUMN data SET STORAGE EXTERNAL",
    f"ALTER TABLE {SESSIONS} SET (toast.autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_cost_delay = 0)",
)


class Database:
    """A `SessionStore`. location: an SQLAlchemy URL. keep_s: how long a session is kept. busy_s: see `SpeakerStore`.

    Raises a StoreError if the database cannot be reached, ConfigurationError for one of another kind.
    """

    def __init__(self, location: str, keep_s: float, *, busy_s: float = BUSY_S) -> None:
        url = url_of(location)
        self.where = address(url)
        self._keep_s = keep_s
        self._busy_s = busy_s
        self._engine = engine_of(url, busy_s)
        kind = self._engine.dialect.name
        if kind not in CLOCKS:
            raise ConfigurationError(f"state_store: {self.where} is neither PostgreSQL nor SQLite.")
        self._table = _table(kind)
        self._now: ColumnElement[float] = literal_column(CLOCKS[kind], Float(53))
        try:
            self._prepare()
        except BaseException:
            self._engine.dispose()
            raise

    def put(self, items: Sequence[Item]) -> list[bool]:
        table = self._table
        insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        with self._transaction() as connection:
            written = []
            for item in items:
                new = insert(table).values(
                    key=item.key, fence=item.fence, client=item.client, data=item.data, at=self._now
                )
                mine = new.on_conflict_do_update(
                    index_elements=[table.c.key],
                    set_={"fence": new.excluded.fence, "data": new.excluded.data, "at": new.excluded.at},
                    where=table.c.fence <= new.excluded.fence,
                )
                written.append(connection.execute(mine.returning(table.c.fence)).first() is not None)
            return written

    def take(self, key: str, client: str) -> Taken | None:
        table = self._table
        with self._transaction() as connection:
            theirs = (table.c.key == key) & (table.c.client == client)
            age = (self._now - table.c.at).label("age")
            # The lock makes the second of two simultaneous takers see the fence of the first.
            row = connection.execute(select(table.c.fence, table.c.data, age).where(theirs).with_for_update()).first()
            if row is None or not row.data or row.age > self._keep_s:
                return None
            connection.execute(update(table).where(theirs).values(fence=row.fence + 1))
            return Taken(row.fence + 1, bytes(row.data), max(0.0, float(row.age)))

    def holds(self, key: str, fence: int) -> bool:
        table = self._table
        with self._transaction(write=False) as connection:
            there = select(table.c.fence).where((table.c.key == key) & (func.length(table.c.data) > 0))
            return connection.scalar(there) == fence

    def forget(self, key: str, fence: int) -> None:
        table = self._table
        with self._transaction() as connection:
            theirs = (table.c.key == key) & (table.c.fence == fence)
            connection.execute(update(table).where(theirs).values(data=b"", at=self._now))

    def clear(self) -> None:
        with self._transaction() as connection:
            connection.execute(delete(self._table).where(self._table.c.at < self._now - self._keep_s))

    def close(self) -> None:
        self._engine.dispose()

    def _prepare(self) -> None:
        """Create the table if it is missing; on PostgreSQL, one server at a time."""
        with named(self.where):
            connecting = self._engine.connect().execution_options(write=True)
            with connecting as connection, answered(connection, self._busy_s + MARGIN_S), connection.begin():
                if inspect(connection).has_table(SESSIONS):
                    return
                self._table.create(connection)
                if self._engine.dialect.name == "postgresql":
                    for statement in TUNING:
                        connection.execute(text(statement))

    @contextmanager
    def _transaction(self, *, write: bool = True) -> Iterator[Connection]:
        """One transaction. On PostgreSQL it waits only for changes to the same session."""
        alone = write and self._engine.dialect.name == "sqlite"
        with named(self.where):
            connecting = self._engine.connect().execution_options(write=alone)
            with connecting as connection, answered(connection, self._busy_s + MARGIN_S), connection.begin():
                if not alone and write:
                    limit_ms = round(self._busy_s * 1000)
                    # After a crash of the machine the table is empty anyway; and a server that hangs during a
                    # transaction must not keep its sessions from the others.
                    for setting in (
                        f"lock_timeout = {limit_ms}",
                        f"idle_in_transaction_session_timeout = {limit_ms}",
                        "synchronous_commit = off",
                    ):
                        connection.exec_driver_sql(f"SET LOCAL {setting}")
                yield connection


def _table(kind: str) -> Table:
    """at: when it was written, by the database's clock."""
    return Table(
        SESSIONS,
        MetaData(),
        Column("key", String(64), primary_key=True),
        Column("fence", BigInteger, nullable=False),
        Column("client", String, nullable=False),
        Column("data", LargeBinary, nullable=False),
        Column("at", Float(53), nullable=False),
        prefixes=["UNLOGGED"] if kind == "postgresql" else [],
    )

"""How the speaker store reaches its database: its address, its transactions, and who may write when."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from streamer.errors import ConfigurationError, StoreUnreachable
from streamer.speakers.failures import named
from streamer.speakers.glance import default_path

#: How long to wait for another process that is writing.
BUSY_S = 10.0
#: Deleted bytes are overwritten, and nothing that is sorted lies about in other files.
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "temp_store=MEMORY", "foreign_keys=ON")
#: How long a database server may take to let us in, and to say that it is still there.
CONNECT_S = 3.0
#: How much longer than a lock may take, the answer to a statement may.
MARGIN_S = 2.0
#: How long it may take to read everybody.
LONG_S = 120.0
#: What writers of a store in PostgreSQL hold; the number says "streamer" to nobody but us.
WRITER_LOCK = 0x73747265616D6572


def url_of(location: str | Path | None) -> URL:
    """A file, a URL, or None for `default_path()`, as a URL. Raises ConfigurationError for one that is none."""
    if location is None:
        location = default_path()
    if isinstance(location, str) and "://" in location:
        try:
            return make_url(location)
        except SQLAlchemyError as error:
            raise ConfigurationError(f"{location!r} is not a database URL: {error}.") from error
    return URL.create("sqlite", database=str(location))


def address(url: URL) -> str:
    """Where a store is, for people: without a password."""
    if url.drivername.startswith("sqlite"):
        return url.database or ":memory:"
    return url.render_as_string(hide_password=True)


def engine_of(url: URL, busy_s: float) -> Engine:
    """An engine whose transactions wait for each other: those that write begin with `execution_options(write=True)`."""
    if not url.drivername.startswith("sqlite"):
        with named(address(url)):
            engine = create_engine(url, connect_args=_connect_arguments(url))
            return _one_writer_at_a_time(_looked_at_first(engine), busy_s)
    # A database in memory is its connection: every thread has to use the same one, one after the other.
    memory = (
        {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 0} if url.database in (None, "", ":memory:") else {}
    )
    engine = create_engine(url, connect_args={"timeout": busy_s, "check_same_thread": False}, **memory)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        # SQLAlchemy's own advice for SQLite: the driver begins no transactions, `begin` below does.
        connection.isolation_level = None
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that reads first and then writes cannot wait for another writer: say so from the start.
        write = connection.get_execution_options().get("write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _one_writer_at_a_time(engine: Engine, busy_s: float) -> Engine:
    """On PostgreSQL, who writes waits for who does already, as on SQLite: two who enrol one name make one profile."""
    if engine.dialect.name == "postgresql":

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            if connection.get_execution_options().get("write", False):
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = {round(busy_s * 1000)}")
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITER_LOCK})")

    return engine


def _connect_arguments(url: URL) -> dict[str, Any]:
    """What libpq is told, unless the address says it."""
    if not url.drivername.startswith("postgresql"):
        return {}
    # A host that is gone without a word is noticed by the kernel; a server that stands still, by `answered`.
    wanted = {
        "connect_timeout": round(CONNECT_S),
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }
    return {name: value for name, value in wanted.items() if name not in url.query}


def _looked_at_first(engine: Engine) -> Engine:
    """On PostgreSQL, a connection that lay in the pool is asked whether it is still one, but not for long."""
    if engine.dialect.name == "postgresql":

        @event.listens_for(engine, "checkout")
        def look(raw: Any, record: Any, proxy: Any) -> None:
            try:
                with _limited(raw, CONNECT_S):
                    cursor = raw.cursor()
                    cursor.execute("SELECT 1")
                    cursor.close()
                    raw.rollback()
            except engine.dialect.loaded_dbapi.Error as error:
                raise DisconnectionError(str(error)) from error

    return engine


@contextmanager
def answered(connection: Connection, limit_s: float) -> Iterator[None]:
    """Raises StoreUnreachable where a database server has not answered what is asked within after so long.

    A server that stands still acknowledges every packet and says nothing, and a client's library waits for ever: so the
    socket is closed under it. Nothing of the transaction is then known to have been done.
    """
    if connection.dialect.name != "postgresql":
        yield
        return
    with _limited(connection.connection.dbapi_connection, limit_s) as late:
        try:
            yield
        except SQLAlchemyError as error:
            if not late.is_set():
                raise
            raise StoreUnreachable(
                f"{address(connection.engine.url)} has not answered for {limit_s:g} s; see that the database server "
                "runs, and try again."
            ) from error


@contextmanager
def _limited(raw: Any, limit_s: float) -> Iterator[threading.Event]:
    """Close the socket of a libpq connection after so long; the event says that it was."""
    late = threading.Event()
    # A copy: its number cannot become that of another file while we hold it.
    wire = socket.socket(fileno=os.dup(raw.fileno()))

    def cut() -> None:
        late.set()
        with suppress(OSError):
            wire.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(limit_s, cut)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()
        wire.close()

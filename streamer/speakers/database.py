"""Database access of the speaker store: the address, transactions, and write locks."""

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
#: Deleted bytes are overwritten, and SQLite writes no temporary files for sorting.
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "temp_store=MEMORY", "foreign_keys=ON")
#: The time limit for connecting to a database server, and for checking a pooled connection.
CONNECT_S = 3.0
#: The extra time that a statement may take beyond the lock timeout.
MARGIN_S = 2.0
#: The time limit for reading all speakers.
LONG_S = 120.0
#: The advisory lock that a writer holds in PostgreSQL. The number spells "streamer" in ASCII.
WRITER_LOCK = 0x73747265616D6572


def url_of(location: str | Path | None) -> URL:
    """The URL of a file, a URL, or None (`default_path()`). Raises ConfigurationError if the URL is invalid."""
    if location is None:
        location = default_path()
    if isinstance(location, str) and "://" in location:
        try:
            return make_url(location)
        except SQLAlchemyError as error:
            raise ConfigurationError(f"{location!r} is not a database URL: {error}.") from error
    return URL.create("sqlite", database=str(location))


def address(url: URL) -> str:
    """The location of a store, for people: without the password."""
    if url.drivername.startswith("sqlite"):
        return url.database or ":memory:"
    return url.render_as_string(hide_password=True)


def engine_of(url: URL, busy_s: float) -> Engine:
    """An engine with serialised writes: a writing transaction begins with `execution_options(write=True)`."""
    if not url.drivername.startswith("sqlite"):
        with named(address(url)):
            engine = create_engine(url, connect_args=_connect_arguments(url))
            return _one_writer_at_a_time(_looked_at_first(engine), busy_s)
    # An in-memory database exists only in its connection: all threads must share that connection, one after the other.
    memory = (
        {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 0} if url.database in (None, "", ":memory:") else {}
    )
    engine = create_engine(url, connect_args={"timeout": busy_s, "check_same_thread": False}, **memory)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        # SQLAlchemy recommends this for SQLite: the driver begins no transactions, `begin` below does.
        connection.isolation_level = None
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that reads first and writes later cannot wait for another writer, so declare the write at the
        # start.
        write = connection.get_execution_options().get("write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _one_writer_at_a_time(engine: Engine, busy_s: float) -> Engine:
    """Make writers wait for each other on PostgreSQL, as on SQLite: two enrolments of one name make one profile."""
    if engine.dialect.name == "postgresql":

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            if connection.get_execution_options().get("write", False):
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = {round(busy_s * 1000)}")
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITER_LOCK})")

    return engine


def _connect_arguments(url: URL) -> dict[str, Any]:
    """Connection options for libpq, unless the URL sets them."""
    if not url.drivername.startswith("postgresql"):
        return {}
    # The kernel notices a host that has vanished; `answered` notices a server that hangs.
    wanted = {
        "connect_timeout": round(CONNECT_S),
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }
    return {name: value for name, value in wanted.items() if name not in url.query}


def _looked_at_first(engine: Engine) -> Engine:
    """On PostgreSQL, check that a pooled connection is still alive, with a short time limit."""
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
    """Raises StoreUnreachable if a database server does not answer within `limit_s`.

    A hung server still acknowledges every packet but sends nothing, and the client library waits forever. So the
    socket is closed from outside. The outcome of the transaction is then unknown.
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
    """Close the socket of a libpq connection after the limit; the event reports that this happened."""
    late = threading.Event()
    # A duplicate: its file descriptor cannot be reused for another file while we hold it.
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

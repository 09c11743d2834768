"""How the speaker store reaches its database: its address, its transactions, and who may write when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

from streamer.errors import ConfigurationError
from streamer.speakers.failures import named

#: How long to wait for another process that is writing.
BUSY_S = 10.0
#: What writers of a store in PostgreSQL hold; the number says "streamer" to nobody but us.
WRITER_LOCK = 0x73747265616D6572


def default_path() -> Path:
    """`speakers.db` in the user's data directory."""
    from platformdirs import user_data_path

    return user_data_path("streamer", appauthor=False) / "speakers.db"


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


def engine_of(url: URL, busy_s: float) -> Engine:
    """An engine whose transactions wait for each other: those that write begin with `execution_options(write=True)`."""
    if not url.drivername.startswith("sqlite"):
        with named(str(url)):
            return _one_writer_at_a_time(create_engine(url, pool_pre_ping=True), busy_s)
    # A database in memory is its connection: every thread has to use the same one, one after the other.
    memory = (
        {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 0} if url.database in (None, "", ":memory:") else {}
    )
    engine = create_engine(url, connect_args={"timeout": busy_s, "check_same_thread": False}, **memory)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        # SQLAlchemy's own advice for SQLite: the driver begins no transactions, `begin` below does.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "foreign_keys=ON"):
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

"""Removes deleted data from the database's files, including SQLite's write-ahead log.

A checkpoint copies the log into the database, where deleted bytes are overwritten (`secure_delete`), and empties the
log. It cannot finish while another process reads an older state of the store, so it is retried. The pending erasure is
recorded in the store: the next process that opens or watches the store continues it.
"""

from __future__ import annotations

import sqlite3
import time

from sqlalchemy import Engine

#: The time between two attempts, in seconds.
EVERY_S = 0.05


def checkpoint(engine: Engine, patience_s: float) -> bool:
    """Empty SQLite's write-ahead log. Returns whether it succeeded within the time limit. Other databases manage their
    own."""
    if engine.dialect.name != "sqlite":
        return True
    end = time.monotonic() + patience_s
    while not _attempt(engine):
        if time.monotonic() >= end:
            return False
        time.sleep(EVERY_S)
    return True


def _attempt(engine: Engine) -> bool:
    with engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert isinstance(raw, sqlite3.Connection)
        (waits_ms,) = raw.execute("PRAGMA busy_timeout").fetchone()
        # SQLite would wait while it holds the write lock, and block all enrolment for that time.
        raw.execute("PRAGMA busy_timeout=0")
        try:
            busy, _, _ = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) and "busy" not in str(error):
                raise
            return False
        finally:
            raw.execute(f"PRAGMA busy_timeout={waits_ms}")
        return busy == 0

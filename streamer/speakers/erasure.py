"""What was deleted has to leave the database's files too, also the log that SQLite writes changes to first.

A checkpoint copies that log into the database, where deleted bytes are overwritten (`secure_delete`), and empties it.
It cannot while another process still reads an older state of the store, so it is tried again, and what is due is noted
in the store itself: whoever opens it next, or watches it, goes on with it.
"""

from __future__ import annotations

import sqlite3
import time

from sqlalchemy import Engine

#: Between two attempts, in seconds.
EVERY_S = 0.05


def checkpoint(engine: Engine, patience_s: float) -> bool:
    """Empty SQLite's write-ahead log; whether that was possible within so long. Other databases keep their own."""
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
        # SQLite would wait with the writer's lock in its hand: nobody could enrol anybody for as long.
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

"""Translates database errors into StoreErrors."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, DisconnectionError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from streamer.errors import (
    ConfigurationError,
    MissingDependency,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnreachable,
    StoreUnreadable,
)

#: (what the database's message contains, the error it becomes, the way out)
FAILURES: tuple[tuple[tuple[str, ...], type[StoreError], str], ...] = (
    (("disk is full", "no space left"), StoreFull, "free some space; nothing of this change was written"),
    (
        ("readonly", "read-only", "unable to open database file", "permission denied"),
        StoreReadOnly,
        "make the file and its folder writable, or choose another store",
    ),
    (
        ("not a database", "malformed", "file is encrypted", "disk image"),
        StoreUnreadable,
        "it is left as it is: restore a copy (`streamer speakers import`), or choose another store",
    ),
    (("locked", "busy", "lock timeout"), StoreBusy, "another process is writing to it; try again"),
    (
        (
            "connection failed",
            "connection timeout",
            "connection refused",
            "could not connect",
            "server closed the connection",
            "consuming input failed",
            "terminating connection",
            "the connection is lost",
            "the connection is closed",
        ),
        StoreUnreachable,
        "see that the database server runs, and try again",
    ),
)


@contextmanager
def named(where: str | None) -> Iterator[None]:
    """Turn any error of the database or the file system into a StoreError that says where it happened and what to
    do."""
    try:
        yield
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise MissingDependency(
            f"no driver for {where}: {error}; for PostgreSQL: pip install 'speaker-streamer[postgres]'."
        ) from error
    except OSError as error:
        kind: type[StoreError] = StoreFull if error.errno == errno.ENOSPC else StoreReadOnly
        raise kind(f"cannot make a folder for {where}: {error.strerror}; choose another store.") from error
    except DBAPIError as error:
        # The first line only: the following lines may contain values, such as people's names.
        said = next(iter(str(error.orig).splitlines()), type(error.orig).__name__)
        for signs, failure, way_out in FAILURES:
            if any(sign in said.lower() for sign in signs):
                raise failure(f"{where}: {said}; {way_out}.") from error
        raise StoreError(f"{where}: {said}.") from error
    except PoolTimeout as error:
        raise StoreBusy(f"{where}: all connections are in use; try again.") from error
    except DisconnectionError as error:
        raise StoreUnreachable(f"{where}: {error}; see that the database server runs, and try again.") from error
    except SQLAlchemyError as error:
        raise ConfigurationError(f"{where}: {error}.") from error

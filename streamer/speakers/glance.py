"""Reads a speaker store that is a file, without SQLAlchemy, so that a mistyped name is reported within milliseconds.

Creates nothing, changes nothing and never waits. If it cannot answer, `SpeakerStore` does.
"""

from __future__ import annotations

import difflib
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from streamer.errors import ConfigurationError, StoreNotFound
from streamer.speakers.names import clean_name, few, name_key

_HEAD = b"SQLite format 3\0"
_FILE_URL = "sqlite:///"
_ELSEWHERE = """
SELECT DISTINCT name, fingerprint FROM streamer_speakers JOIN streamer_exemplars ON speaker = streamer_speakers.id
WHERE speaker NOT IN (SELECT speaker FROM streamer_exemplars WHERE fingerprint = ?) ORDER BY name, fingerprint
"""


def default_path() -> Path:
    """`speakers.db` in the user's data directory."""
    from platformdirs import user_data_path

    return user_data_path("streamer", appauthor=False) / "speakers.db"


def path_of(store: str | os.PathLike[str] | None) -> Path | None:
    """The file of a store; None if the store is in memory or on a server."""
    if store is None:
        return default_path()
    given = os.fspath(store)
    if "://" not in given:
        return Path(given)
    path = given.removeprefix(_FILE_URL)
    return Path(path) if path not in ("", ":memory:", given) and "?" not in path else None


def is_well(path: Path) -> bool:
    """Whether nothing visible prevents the store from being opened, or created if it does not exist."""
    if not path.exists():
        there = next(folder for folder in path.absolute().parents if folder.exists())
        return there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    if not path.is_file() or not os.access(path, os.R_OK | os.W_OK):
        return False
    with path.open("rb") as file:
        return file.read(len(_HEAD)) in (b"", _HEAD)


def require(store: str | os.PathLike[str] | None) -> None:
    """Raises StoreNotFound if a named file does not exist; opening it would create an empty store."""
    path = path_of(store)
    if store is not None and path is not None and not path.exists():
        raise StoreNotFound(
            f"there is no store at {str(path)!r}; check the path, or make it by enrolling somebody: "
            f"streamer speakers enroll NAME FILE --store {path}"
        )


def names_in(path: Path) -> list[str] | None:
    """The names of all enrolled speakers in a file; None if they cannot be read this way."""
    found = _asked(path, "SELECT name FROM streamer_speakers ORDER BY name")
    return None if found is None else [name for (name,) in found]


def only_under_others(path: Path, fingerprint: str) -> dict[str, list[str]]:
    """Like `SpeakerStore.only_under_others`; empty if it cannot be read this way."""
    found: dict[str, list[str]] = {}
    for name, other in _asked(path, _ELSEWHERE, fingerprint) or []:
        found.setdefault(name, []).append(other)
    return found


def _asked(path: Path, query: str, *values: str) -> list[tuple[str, ...]] | None:
    if not path.exists():
        return []
    if not is_well(path):
        return None
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=0.0)) as connection:
            return connection.execute(query, values).fetchall()
    except sqlite3.Error:
        return None


def check_roster(names: Sequence[str], enrolled: Sequence[str]) -> None:
    """Raises ConfigurationError for names that are not enrolled, with the enrolled names and close matches."""
    known = {name_key(name): name for name in enrolled}
    missing = {name_key(name): name for given in names if name_key(name := clean_name(given)) not in known}
    if not missing:
        return
    near = [known[match] for name in missing for match in difflib.get_close_matches(name, known, 1, 0.6)]
    meant = f" Did you mean {few(near)}?" if near else ""
    raise ConfigurationError(
        f"not enrolled: {few(sorted(missing.values()))}; enrolled are: {few(enrolled)}.{meant} Enrol them with "
        "`streamer speakers enroll`, or leave them out of the roster."
    )

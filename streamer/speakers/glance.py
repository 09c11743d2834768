"""A look at a speaker store that is a file, without SQLAlchemy: a mistyped name is then an answer of milliseconds.

Nothing is made, changed or waited for. What cannot be told like this is for `SpeakerStore` to say.
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
    """The file of a store; None for one that is in memory or on a server."""
    if store is None:
        return default_path()
    given = os.fspath(store)
    if "://" not in given:
        return Path(given)
    path = given.removeprefix(_FILE_URL)
    return Path(path) if path not in ("", ":memory:", given) and "?" not in path else None


def is_well(path: Path) -> bool:
    """Whether nothing can be seen that would keep the store from being opened, or made where it is not there yet."""
    if not path.exists():
        there = next(folder for folder in path.absolute().parents if folder.exists())
        return there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    if not path.is_file() or not os.access(path, os.R_OK | os.W_OK):
        return False
    with path.open("rb") as file:
        return file.read(len(_HEAD)) in (b"", _HEAD)


def require(store: str | os.PathLike[str] | None) -> None:
    """Raises StoreNotFound for a file that was named and is not there: it would be made, with nobody in it."""
    path = path_of(store)
    if store is not None and path is not None and not path.exists():
        raise StoreNotFound(
            f"there is no store at {str(path)!r}; check the path, or make it by enrolling somebody: "
            f"streamer speakers enroll NAME FILE --store {path}"
        )


def names_in(path: Path) -> list[str] | None:
    """Everybody enrolled in a file, by name; None where that cannot be told like this."""
    found = _asked(path, "SELECT name FROM streamer_speakers ORDER BY name")
    return None if found is None else [name for (name,) in found]


def only_under_others(path: Path, fingerprint: str) -> dict[str, list[str]]:
    """As `SpeakerStore.only_under_others`; nobody where that cannot be told like this."""
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
    """Raises ConfigurationError for who is not enrolled, with those who are, and who may have been meant."""
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

"""Sessions in a folder, for the servers of one machine: one file each, readable only for its owner.

A file is named KEY.FENCE.session. A process that changes the folder holds a lock for that moment; slow work is done
before, in a separate file.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from streamer.errors import ConfigurationError, StateMismatch
from streamer.server.keeping.sessionsnapshot import SessionSnapshot
from streamer.server.keeping.sessionstore import Item, Taken

SUFFIX = ".session"
PART = ".part"


class Folder:
    """A `SessionStore`. keep_s: how long a session is kept. clock: the clock of the files' times.

    Raises ConfigurationError if the folder can't be created or written to.
    """

    def __init__(self, folder: Path, keep_s: float, clock: Callable[[], float] = time.time) -> None:
        self.where = str(folder)
        self._folder = folder
        self._keep_s = keep_s
        self._clock = clock
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.clear()
        except OSError as error:
            raise ConfigurationError(f"state_dir: {folder} can't be used ({error}).") from error

    def put(self, items: Sequence[Item]) -> list[bool]:
        return [self._put(item) for item in items]

    def _put(self, item: Item) -> bool:
        part = self._folder / f"{item.key}.{secrets.token_hex(4)}{PART}"
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "wb") as file:
                file.write(item.data)
            with self._alone():
                fence, _ = self._find(item.key)
                if fence > item.fence:
                    return False
                part.replace(self._path(item.key, item.fence))
                return True
        finally:
            with contextlib.suppress(OSError):  # do not fill a full disk further
                part.unlink(missing_ok=True)

    def take(self, key: str, client: str) -> Taken | None:
        with self._alone():
            fence, path = self._find(key)
            if path is None:
                return None
            away_s = max(0.0, self._clock() - path.stat().st_mtime)
            data = path.read_bytes()
            if away_s > self._keep_s or not _owned(data, client):
                return None
            path.rename(self._path(key, fence + 1))
            return Taken(fence + 1, data, away_s)

    def holds(self, key: str, fence: int) -> bool:
        found, path = self._find(key)
        return found == fence and path is not None and path.stat().st_size > 0

    def forget(self, key: str, fence: int) -> None:
        with self._alone():
            if (path := self._path(key, fence)).exists():
                path.write_bytes(b"")

    def clear(self) -> None:
        for pattern in (f"*{SUFFIX}", f"*{PART}"):
            for path in self._folder.glob(pattern):
                with contextlib.suppress(FileNotFoundError):  # another server uses the folder too
                    if self._clock() - path.stat().st_mtime > self._keep_s:
                        path.unlink()

    def close(self) -> None:
        """There are no open resources."""

    def _path(self, key: str, fence: int) -> Path:
        return self._folder / f"{key}.{fence}{SUFFIX}"

    def _find(self, key: str) -> tuple[int, Path | None]:
        """The fence and the file of a session; 0 and None if there is none."""
        found = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.startswith(key) and entry.name.endswith(SUFFIX):
                    number = entry.name[len(key) + 1 : -len(SUFFIX)]
                    if number.isdecimal():
                        found.append((int(number), Path(entry.path)))
        return max(found, default=(0, None))

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Lock the folder against other processes; on systems without such locks, only one process may use it."""
        try:
            import fcntl
        except ImportError:
            yield
            return
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _owned(data: bytes, client: str) -> bool:
    try:
        return SessionSnapshot.from_bytes(data).client == client
    except StateMismatch:
        return False

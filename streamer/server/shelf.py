"""Sessions kept on disk while the server restarts: one file each, unreadable to others, gone when taken or too old.

A file holds what a client's events were and the state of its streams: numbers, names of speakers, and voice prints of
those who spoke of late. No audio is in it. The name of the file is the hash of the resume token, which is not in it
either: whoever can read the folder can resume nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamer.errors import ConfigurationError, StateMismatch
from streamer.speakers.snapshot import pack, unpack

SUFFIX = ".session"
PART = ".part"
# A restart takes a while, in which nobody can come back.
RESTART_S = 60.0


@dataclass(frozen=True, slots=True)
class Kept:
    """A session as it lay on the shelf.

    channels: of each, the state of the engine's stream, that of the tracker, and the samples written so far.
    away_s: since it was put there.
    """

    session: Mapping[str, Any]
    client: str
    address: str
    channels: tuple[tuple[bytes, bytes, int], ...]
    away_s: float


class Shelf:
    """Raises ConfigurationError where the folder can't be made or written to."""

    def __init__(self, folder: Path, keep_s: float, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._keep_s = keep_s + RESTART_S
        self._clock = clock
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.clear()
        except OSError as error:
            raise ConfigurationError(f"state_dir: {folder} can't be used ({error}).") from error

    def put(self, kept: Kept) -> None:
        """Keep a session; raises OSError where it can't be written."""
        channels = [
            {"engine": _array(engine), "tracker": _array(tracker), "written": written}
            for engine, tracker, written in kept.channels
        ]
        session = dict(kept.session)
        token = session.pop("token")
        tree = {
            "session": json.dumps(session),
            "client": kept.client,
            "address": kept.address,
            "channels": channels,
            "at": self._clock(),
        }
        path = self._path(token)
        part = path.with_suffix(PART)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(pack(tree))
        part.replace(path)

    def find(self, token: str) -> Kept | None:
        """The session of a token; None where there is none, or none that can be used. It stays until `forget`."""
        try:
            tree = unpack(self._path(token).read_bytes())
            session = {**json.loads(tree["session"]), "token": token}
            away_s = self._clock() - float(tree["at"])
            channels = tuple(
                (bytes(channel["engine"]), bytes(channel["tracker"]), int(channel["written"]))
                for channel in tree["channels"]
            )
            kept = Kept(session, str(tree["client"]), str(tree["address"]), channels, away_s)
        except (OSError, StateMismatch, ValueError, KeyError, TypeError):
            return None
        return kept if kept.away_s <= self._keep_s else None

    def forget(self, token: str) -> None:
        """The session of a token has been taken up."""
        with contextlib.suppress(OSError):
            self._path(token).unlink(missing_ok=True)

    def clear(self) -> None:
        """Delete what nobody came back for, and what a server that was killed left half written."""
        for pattern in (f"*{SUFFIX}", f"*{PART}"):
            for path in self._folder.glob(pattern):
                with contextlib.suppress(FileNotFoundError):  # another server has the folder too
                    if self._clock() - path.stat().st_mtime > self._keep_s:
                        path.unlink()

    def _path(self, token: str) -> Path:
        return self._folder / f"{hashlib.sha256(token.encode(errors='replace')).hexdigest()}{SUFFIX}"


def _array(data: bytes) -> Any:
    return np.frombuffer(data, np.uint8)

"""Sessions kept on disk while the server restarts: one file each, unreadable to others, gone when taken or too old.

A file holds what a client's events were and the state of its streams: numbers, names of speakers, and the resume token
to compare with. No audio is in it. The name of the file is the hash of the token.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
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
            self._clear()
        except OSError as error:
            raise ConfigurationError(f"state_dir: {folder} can't be used ({error}).") from error

    def put(self, kept: Kept) -> None:
        """Keep a session; raises OSError where it can't be written."""
        channels = [
            {"engine": _array(engine), "tracker": _array(tracker), "written": written}
            for engine, tracker, written in kept.channels
        ]
        tree = {
            "session": json.dumps(kept.session),
            "client": kept.client,
            "address": kept.address,
            "channels": channels,
            "at": self._clock(),
        }
        path = self._path(kept.session["token"])
        part = path.with_suffix(".part")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(pack(tree))
        part.replace(path)

    def take(self, token: str) -> Kept | None:
        """The session of a token, once; None where there is none, or none that can be used."""
        path = self._path(token)
        try:
            tree = unpack(path.read_bytes())
            session = json.loads(tree["session"])
            away_s = self._clock() - float(tree["at"])
            channels = tuple(
                (bytes(channel["engine"]), bytes(channel["tracker"]), int(channel["written"]))
                for channel in tree["channels"]
            )
            kept = Kept(session, str(tree["client"]), str(tree["address"]), channels, away_s)
        except (OSError, StateMismatch, ValueError, KeyError, TypeError):
            kept = None
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        if kept is None or kept.away_s > self._keep_s or not hmac.compare_digest(kept.session["token"], token):
            return None
        return kept

    def _clear(self) -> None:
        """Delete what nobody came back for."""
        for path in self._folder.glob(f"*{SUFFIX}"):
            if self._clock() - path.stat().st_mtime > self._keep_s:
                path.unlink(missing_ok=True)

    def _path(self, token: str) -> Path:
        return self._folder / f"{hashlib.sha256(token.encode(errors='replace')).hexdigest()}{SUFFIX}"


def _array(data: bytes) -> Any:
    return np.frombuffer(data, np.uint8)

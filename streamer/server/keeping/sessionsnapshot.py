"""A session's snapshot, so that another process can go on with it.

It holds what a client's events were and the state of its streams: numbers, names of speakers, and voice prints of those
who spoke of late. No audio but the part of a step that had come is in it, and not the resume token: who can read what
is kept can resume nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamer.errors import StateMismatch
from streamer.snapshot import pack, unpack

# Who resumes is given so much longer than a session outlives its connection: a restart takes a while, in which nobody
# can come back.
RESTART_S = 60.0


@dataclass(frozen=True, slots=True)
class SessionSnapshot:
    """A session at one moment.

    session: `SessionState.snapshot`, without its token. client: `Access.name` of who began it. address: theirs.
    channels: of each, the state of the engine's stream, and that of the tracker.
    """

    session: Mapping[str, Any]
    client: str
    address: str
    channels: tuple[tuple[bytes, bytes], ...]

    def to_bytes(self) -> bytes:
        channels = [{"engine": _array(engine), "tracker": _array(tracker)} for engine, tracker in self.channels]
        # As text, since JSON's own types are what a session is restored from.
        session = json.dumps({name: value for name, value in self.session.items() if name != "token"})
        return pack({"session": session, "client": self.client, "address": self.address, "channels": channels})

    @classmethod
    def from_bytes(cls, data: bytes) -> SessionSnapshot:
        """Raises StateMismatch for what is damaged or of another release."""
        try:
            tree = unpack(data)
            channels = tuple((bytes(one["engine"]), bytes(one["tracker"])) for one in tree["channels"])
            return cls(json.loads(tree["session"]), str(tree["client"]), str(tree["address"]), channels)
        except (ValueError, LookupError, TypeError) as error:
            raise StateMismatch(f"these {len(data)} bytes are no session that was kept ({error!r}).") from error


def key_of(token: str) -> str:
    """Under which a session lies: 64 hexadecimal digits, from which the token cannot be found."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _array(data: bytes) -> Any:
    return np.frombuffer(data, np.uint8)

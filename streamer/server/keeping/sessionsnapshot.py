"""The saved state of a session, from which another process can continue it.

It holds a client's events and the state of its streams: numbers, names of speakers, and voice prints of recent
speakers. It has no audio except an incomplete step, and no resume token: a reader of the saved state cannot resume the
session.
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

# Added to the time that a session outlives its connection: nobody can resume during a restart.
RESTART_S = 60.0


@dataclass(frozen=True, slots=True)
class SessionSnapshot:
    """A session at one moment.

    session: `SessionState.snapshot`, without its token. client: `Access.name` of the client that began it. address: its
    address. channels: for each, the state of the engine's stream, and that of the tracker.
    """

    session: Mapping[str, Any]
    client: str
    address: str
    channels: tuple[tuple[bytes, bytes], ...]

    def to_bytes(self) -> bytes:
        channels = [{"engine": _array(engine), "tracker": _array(tracker)} for engine, tracker in self.channels]
        # As text, because a session is restored from JSON types.
        session = json.dumps({name: value for name, value in self.session.items() if name != "token"})
        return pack({"session": session, "client": self.client, "address": self.address, "channels": channels})

    @classmethod
    def from_bytes(cls, data: bytes) -> SessionSnapshot:
        """Raises StateMismatch for damaged bytes, or for those of another release."""
        try:
            tree = unpack(data)
            channels = tuple((bytes(one["engine"]), bytes(one["tracker"])) for one in tree["channels"])
            return cls(json.loads(tree["session"]), str(tree["client"]), str(tree["address"]), channels)
        except (ValueError, LookupError, TypeError) as error:
            raise StateMismatch(f"these {len(data)} bytes are not a saved session ({error!r}).") from error


def key_of(token: str) -> str:
    """The key of a session in the store: 64 hexadecimal digits, from which the token cannot be computed."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _array(data: bytes) -> Any:
    return np.frombuffer(data, np.uint8)

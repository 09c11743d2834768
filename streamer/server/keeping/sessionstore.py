"""The interface of session stores, which keep running sessions so that they survive their server process.

A session has one owner, identified by its fence: a number that increases with each server that takes the session over.
A late write of a former owner is refused, and tells it that it no longer owns the session. Neither this nor the age of
a session depends on a server's clock: only the clock of the store counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

#: The fence of a session's first owner.
FIRST = 1


@dataclass(frozen=True, slots=True)
class Item:
    """A saved state. key: see `key_of`. client: who may resume it. data: `SessionSnapshot.to_bytes`."""

    key: str
    fence: int
    client: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Taken:
    """A session that now belongs to the taker. away_s: time since it was saved, by the clock of the store."""

    fence: int
    data: bytes
    away_s: float


class SessionStore(Protocol):
    """Methods may wait for a disk or a network, so call them in a thread. OSError or StoreError means that the store is
    not available at the moment."""

    where: str

    def put(self, items: Sequence[Item]) -> list[bool]:
        """Save these; returns for each whether it still belongs to its owner."""

    def take(self, key: str, client: str) -> Taken | None:
        """Take the session over, if it belongs to this client and is not too old; its former owner loses it."""

    def holds(self, key: str, fence: int) -> bool:
        """Whether the session is stored here with this owner."""

    def forget(self, key: str, fence: int) -> None:
        """The session is over: delete it, but keep its fence, against late writes of former owners. Does nothing if it
        has another owner by now."""

    def clear(self) -> None:
        """Delete sessions that nobody resumed, and those that are over."""

    def close(self) -> None:
        """Close the store."""

"""Where sessions lie while they live, so that they outlive the process that serves them.

A session has one owner, by its fence: a number that rises with each server that takes it up. What a former owner still
writes, however late, is refused, and so it learns that the session is no longer its own. No server's clock is asked for
this, nor for how long a session lies here: only the place's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

#: The fence of a session's first owner.
FIRST = 1


@dataclass(frozen=True, slots=True)
class Item:
    """What a session's owner writes down. key: see `key_of`. client: who may take it up.
    data: `SessionSnapshot.to_bytes`."""

    key: str
    fence: int
    client: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Taken:
    """A session that is the taker's from now on. away_s: since it was written, by the place's own clock."""

    fence: int
    data: bytes
    away_s: float


class SessionStore(Protocol):
    """All of it may wait for a disk or a network, so it is called in a thread; OSError or StoreError says that it can't
    be done just now."""

    where: str

    def put(self, items: Sequence[Item]) -> list[bool]:
        """Write these down; of each, whether it is still its owner's."""

    def take(self, key: str, client: str) -> Taken | None:
        """The session, if it is this client's and not too old; whoever owned it does so no longer."""

    def holds(self, key: str, fence: int) -> bool:
        """Whether the session lies here, with this owner."""

    def forget(self, key: str, fence: int) -> None:
        """The session is over: nothing is left of it but that it was, for owners of before who write late. If it has
        another owner by now, nothing is done."""

    def clear(self) -> None:
        """Delete what nobody came back for, and what is over."""

    def close(self) -> None:
        """Let go of the place."""

"""Admission: limits on streams, in total and for each address, and on connections without a stream.

A slot is taken before any work is done for a stream, and given back when its session is over, so a session that waits
for its client still holds its slot. Nothing here waits: a client without a slot is told to come back later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from streamer.protocol import Refusal

# A refused client should come back when something may have changed, and not at the same time as all others.
RETRY_AFTER_S = 5.0
# Sockets beyond the limit, for /healthz, /readyz and /metrics only: monitoring matters most when the server is full.
SPARE = 16


@dataclass(slots=True)
class Admission:
    """Counts streams and connections against their limits.

    max_streams: in total, with the weight `protocol.Settings.cost` of each. max_streams_per_address: from one address.
    max_connections: open sockets of any kind, of which one address may hold a quarter; further connections are
        dropped before they cost anything.
    """

    max_streams: int
    max_streams_per_address: int
    max_connections: int
    draining: bool = False
    _spare: Counter[str] = field(default_factory=Counter)
    _streams: Counter[str] = field(default_factory=Counter)
    _connections: Counter[str] = field(default_factory=Counter)

    @property
    def streams(self) -> int:
        return self._streams.total()

    @property
    def connections(self) -> int:
        return self._connections.total()

    def open(self) -> None:
        """Raises Refusal("busy") if the server is stopping."""
        if self.draining:
            raise self._busy("The server is stopping.", "Try again in a moment, or another server.")

    @contextmanager
    def taking(self, address: str, streams: int) -> Iterator[None]:
        """Take slots for a session that is made inside the context; give them back on failure. Raises
        Refusal("busy")."""
        self.take(address, streams)
        try:
            yield
        except BaseException:
            self.give_back(address, streams)
            raise

    def take(self, address: str, streams: int) -> None:
        """Take slots for a session. Raises Refusal("busy")."""
        self.open()
        if self.streams + streams > self.max_streams:
            raise self._busy(
                f"{self.streams} of {self.max_streams} streams are taken; this session needs {streams}.",
                "Try again later, or another server.",
            )
        if self._streams[address] + streams > self.max_streams_per_address:
            raise self._busy(
                f"Your address has {self._streams[address]} of {self.max_streams_per_address} streams.",
                "End one of them first, or raise max_streams_per_address.",
            )
        self._streams[address] += streams

    def give_back(self, address: str, streams: int) -> None:
        _take_off(self._streams, address, streams)

    def connect(self, address: str) -> bool:
        """Count an opened socket; returns whether it may stay. Call `disconnect` only if it may."""
        per_address = max(self.max_connections // 4, self.max_streams_per_address + 8)
        if self.connections >= self.max_connections or self._connections[address] >= per_address:
            return False
        self._connections[address] += 1
        return True

    def disconnect(self, address: str) -> None:
        _take_off(self._connections, address, 1)

    def connect_spare(self, address: str) -> bool:
        """Count an opened socket beyond the limit; returns whether it may ask for the server's state, for a moment."""
        if self._spare.total() >= SPARE or self._spare[address] >= SPARE // 4:
            return False
        self._spare[address] += 1
        return True

    def disconnect_spare(self, address: str) -> None:
        _take_off(self._spare, address, 1)

    def _busy(self, message: str, change: str) -> Refusal:
        return Refusal("busy", message, change, fatal=True, retry_after=RETRY_AFTER_S)


def _take_off(counter: Counter[str], address: str, amount: int) -> None:
    counter[address] -= amount
    # Addresses without connections must not be kept for ever.
    if counter[address] <= 0:
        del counter[address]

"""The exceptions for a server's refusals, and the delays before the next attempt."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Iterator, Mapping
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from streamer.errors import ConnectionLost, ServerBusy, ServerRefused


def delays(generator: random.Random) -> Iterator[float]:
    """Seconds to wait before each attempt to connect again: short first, then longer, with jitter."""
    yield 0.0
    for attempt in itertools.count():
        yield min(5.0, 0.2 * 2**attempt) * generator.uniform(0.5, 1.0)


def refusal(message: Mapping[str, Any]) -> ServerRefused | ConnectionLost:
    if message["code"] == "busy":
        return ServerBusy(message["message"], message["change"], float(message.get("retry_after", 5.0)))
    return ServerRefused(message["code"], message["message"], message["change"])


def unreachable(url: str, error: Exception) -> ServerRefused | ConnectionLost:
    """The exception for a connection that could not be made."""
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        text = (error.response.body or b"").decode(errors="replace").strip()
        if status in (401, 403):
            return ServerRefused("unauthorized" if status == 401 else "forbidden", text or f"HTTP {status}.", "")
        return ConnectionLost(f"{url} answered HTTP {status}. {text}".strip())
    if isinstance(error, InvalidHandshake):
        return ConnectionLost(f"{url} is no streamer server: {error}.")
    return ConnectionLost(f"{url} can't be reached: {str(error) or type(error).__name__}.")


@contextlib.contextmanager
def lost(message: str) -> Iterator[None]:
    try:
        yield
    except ConnectionClosed:
        raise ConnectionLost(message) from None

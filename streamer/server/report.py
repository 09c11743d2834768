"""What a session's client is told of it while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamer.audio.chunks import SAMPLE_RATE
from streamer.server.channel import Channel


def statistics(channels: Sequence[Channel], now: float) -> dict[str, Any]:
    """What `Session.stats` takes: of all channels the worst, or the sum. now: on the server's clock."""
    parts = [channel.progress for channel in channels]
    return {
        # A step that is still waited for is late already, though nobody knows yet by how much.
        "lag": max(max(part.lag_s, part.waited_s(now)) for part in parts),
        "queue": max(part.written - part.heard for part in parts) / SAMPLE_RATE,
        "skipped": sum(part.skipped for part in parts),
        "level_db": parts[0].level_db,
    }

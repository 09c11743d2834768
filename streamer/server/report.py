"""The statistics that a session's client gets while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamer.audio.chunks import SAMPLE_RATE
from streamer.server.channel import Channel


def statistics(channels: Sequence[Channel], now: float) -> dict[str, Any]:
    """The arguments of `Session.stats`: over all channels, the worst value or the sum. now: on the server's clock."""
    parts = [channel.progress for channel in channels]
    return {
        # A step that still waits is already late, by an amount that is not known yet.
        "lag": max(max(part.lag_s, part.waited_s(now)) for part in parts),
        "queue": max(part.written - part.heard for part in parts) / SAMPLE_RATE,
        "skipped": sum(part.skipped for part in parts),
        "level_db": parts[0].level_db,
    }

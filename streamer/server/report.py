"""What is told of a session: to its client while it runs, to the log when it is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from streamer.audio.chunks import SAMPLE_RATE
from streamer.server.channel import Channel

if TYPE_CHECKING:
    from streamer.server.room import Room


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


def summary(room: Room, now: float) -> dict[str, Any]:
    """The line of a session in the log. now: on the server's clock."""
    session = room.session
    return {
        "session": session.name,
        "address": room.address,
        "client": room.access.name,
        "reason": room.reason,
        "seconds": round(now - room.times.began, 1),
        "audio_s": round(session.received / session.settings.sample_rate, 1),
        "rate": session.settings.sample_rate,
        "encoding": session.settings.encoding,
        "streams": session.settings.streams,
        "events": session.replay.last,
        "gaps": session.gaps,
        "gap_s": round(session.gap_seconds, 1),
        "skipped": sum(channel.progress.skipped for channel in room.channels),
        "errors": session.errors,
    }

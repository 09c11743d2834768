"""The log line of a session at its end."""

from __future__ import annotations

from typing import Any

from streamer.server.room import Room


def summary(room: Room, now: float) -> dict[str, Any]:
    """The fields of a session's log line. now: on the server's clock."""
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

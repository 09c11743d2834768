"""Snapshots of a running session: its streams, their trackers and its events, all at one moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from streamer.server.keeping.sessionsnapshot import SessionSnapshot
from streamer.server.room import Room

#: Runs a call in a thread, so that serialisation does not block the loop.
Aside = Callable[[Callable[[], bytes]], Awaitable[bytes]]


def settled(room: Room) -> bool:
    """Whether the trackers have processed all results of the engine."""
    return not any(channel.busy or channel.stream.unread for channel in room.channels)


async def take_snapshot(room: Room, aside: Aside, *, anyway: bool = False) -> SessionSnapshot | None:
    """The snapshot of a session; None if the engine is ahead of the trackers at this moment, so try again.

    anyway: take it even then; results that the trackers have not processed are lost on resume.
    """
    async with AsyncExitStack() as stack:
        # No tracker runs during this: the states of trackers, streams and session must belong together.
        for channel in room.channels:
            await stack.enter_async_context(channel.tracking)
        channels = list(room.channels)
        if not channels or not (anyway or settled(room)):
            return None
        states = [await channel.stream.snapshot() for channel in channels]
        # After this, the followers of the streams have seen all earlier results. A restored stream would never repeat
        # results that its tracker has not processed.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if not anyway and any(channel.busy for channel in channels):
            return None
        session = room.session.snapshot()
        trackers = [await aside(channel.tracker.snapshot) for channel in channels]
    return SessionSnapshot(session, room.access.name, room.address, tuple(zip(states, trackers, strict=True)))

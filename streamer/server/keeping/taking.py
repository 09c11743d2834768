"""Snapshots of a session while it runs: its streams, their trackers and its events, all as of one moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from streamer.server.keeping.sessionsnapshot import SessionSnapshot
from streamer.server.room import Room

#: Runs a call in a thread: what is packed there does not hold up the loop.
Aside = Callable[[Callable[[], bytes]], Awaitable[bytes]]


def settled(room: Room) -> bool:
    """Nothing that the engine computed for it is still on its way through the trackers."""
    return not any(channel.busy or channel.stream.unread for channel in room.channels)


async def take_snapshot(room: Room, aside: Aside, *, anyway: bool = False) -> SessionSnapshot | None:
    """The session as it is; None where its engine was just then ahead of its trackers, so that it is to be tried again.

    anyway: take it even so; what the trackers have not heard is lost to who goes on from it.
    """
    async with AsyncExitStack() as stack:
        # While we look, no tracker goes on: trackers, streams and session belong together.
        for channel in room.channels:
            await stack.enter_async_context(channel.tracking)
        channels = list(room.channels)
        if not channels or not (anyway or settled(room)):
            return None
        states = [await channel.stream.snapshot() for channel in channels]
        # Whoever follows a stream has seen by then what it gave before: a stream that is ahead of its tracker would
        # never say again what the tracker has not heard.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if not anyway and any(channel.busy for channel in channels):
            return None
        session = room.session.snapshot()
        trackers = [await aside(channel.tracker.snapshot) for channel in channels]
    return SessionSnapshot(session, room.access.name, room.address, tuple(zip(states, trackers, strict=True)))

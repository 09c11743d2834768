"""The last saved state of a session when a server stops, for the server that continues it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from streamer.server import log
from streamer.server.keeping.keeper import FAILURES, Keeper
from streamer.server.keeping.taking import settled, take_snapshot
from streamer.server.room import Room

# How long a stopping server waits for streams to finish their computation: short compared with the grace period.
SETTLE_S = 1.0


async def hand_over(room: Room, keeper: Keeper, settle: float, end: float, clock: Callable[[], float]) -> bool:
    """Save a session that takes no more input; returns whether it can be resumed.

    settle: until when to wait for running computations. end: until when to wait at all. Both on this clock.
    """
    if room.over:
        return False
    try:
        async with asyncio.timeout(end - clock()):
            if await _write_down(room, keeper, settle, clock):
                return True
    except Exception as error:
        known = isinstance(error, FAILURES)
        about = {"problem": f"{type(error).__name__}: {error}"[:300]} if known else {}
        log.say("session not kept", level=logging.ERROR, exc_info=not known, session=room.session.name, **about)
    # An earlier saved state is good enough, although more audio has to be sent again.
    return not room.over and await keeper.lies_there(room)


async def _write_down(room: Room, keeper: Keeper, settle: float, clock: Callable[[], float]) -> bool:
    """Save after the trackers have processed all results of the streams, or at `settle` in any case."""
    while not room.over:
        late = clock() >= settle
        if late and room.session.framing.sequenced and await keeper.lies_there(room):
            room.kept = True  # its client can send again the audio that came since
            return True
        if late or (room.settled and settled(room)):
            snapshot = await take_snapshot(room, keeper.aside, anyway=late)
            if snapshot is not None and (late or room.settled):
                room.kept = True
                return await keeper.keep(room, snapshot)
        await asyncio.sleep(SETTLE_S / 200)
    return False

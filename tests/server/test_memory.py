"""What a session held is free once it is over, and not when the garbage collector next looks at all there is."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref

import pytest
from talking import PATIENCE_S, Talk, empty, pcm, talking
from websockets.exceptions import ConnectionClosed


async def to_its_end(talk: Talk) -> None:
    await talk.say(type="end")
    await talk.until("goodbye")


async def lost(talk: Talk) -> None:
    talk.socket.transport.abort()


async def cut_off(talk: Talk) -> None:
    for _ in range(11):
        await talk.socket.send("nonsense")
    with contextlib.suppress(ConnectionClosed):
        while True:
            await talk.next()


@pytest.fixture
def uncollected():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("leave", [to_its_end, lost, cut_off])
async def test_a_session_that_is_over_holds_nothing(serving, uncollected, leave):
    async with serving(resume_s=0.1) as server:
        async with talking(server) as talk:
            await talk.start(windows=True)
            (room,) = server.rooms
            (channel,) = room.channels
            held = [weakref.ref(thing) for thing in (room, channel, channel.stream, channel.tracker, room.session)]
            del room, channel
            await talk.socket.send(pcm(4.0))
            await talk.until("window")
            await leave(talk)
        await empty(server)
        async with asyncio.timeout(PATIENCE_S):
            while any(thing() is not None for thing in held):  # noqa: ASYNC110 - what is being closed closes soon
                await asyncio.sleep(0.02)

"""Who speaks in a LiveKit room: an agent that listens to every microphone and tells the room names.

    pip install livekit-agents
    streamer serve                                   # where people are enrolled
    python demos/livekit_agent.py dev                # LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET say where

What it hears goes to the room as data of the topic "speaker", in JSON: an event of the server's protocol with the
participant whose microphone it was. Several people may share one, and a name holds for whoever enters under another.
STREAMER_URL and STREAMER_TOKEN say which server is asked. https://docs.livekit.io/agents/
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import AgentServer, AutoSubscribe, JobContext, cli

from streamer.client import Client

TOPIC = "speaker"
#: What a room is told of.
TOLD = {"speaker", "unknown", "correction", "turn_end", "gap"}
#: A microphone of which nothing came for so long is said to be silent, or the server would think us gone.
SILENT_S = 1.0

Tell = Callable[[dict[str, Any]], Awaitable[object]]


def attend(room: rtc.Room, tell: Tell, url: str, token: str | None = None) -> set[asyncio.Task[None]]:
    """Listen to every microphone of the room from now on, each in a task that ends with it; the tasks there are."""
    tasks: set[asyncio.Task[None]] = set()
    streams: dict[str, rtc.AudioStream] = {}

    @room.on("track_subscribed")
    def begin(track: rtc.Track, publication: rtc.TrackPublication, participant: rtc.Participant) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            stream = rtc.AudioStream(track, sample_rate=16_000, num_channels=1)
            streams[track.sid] = stream
            task = asyncio.create_task(listen(stream, participant.identity, tell, url, token))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    @room.on("track_unsubscribed")
    def end(track: rtc.Track, publication: rtc.TrackPublication, participant: rtc.Participant) -> None:
        if (stream := streams.pop(track.sid, None)) is not None:
            closing = asyncio.create_task(stream.aclose())  # which ends `listen` when the last frames are heard
            tasks.add(closing)
            closing.add_done_callback(tasks.discard)

    return tasks


async def listen(stream: rtc.AudioStream, participant: str, tell: Tell, url: str, token: str | None) -> None:
    """One microphone, to its end."""
    async with Client(url, token=token, policy="latest") as client:
        sending = asyncio.create_task(send(stream, client))
        try:
            async for message in client:
                if message["type"] in TOLD:
                    await tell({"participant": participant, **message})
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            await stream.aclose()


async def send(stream: rtc.AudioStream, client: Client) -> None:
    """The frames of a microphone, and where none come, that there are none."""
    frames = aiter(stream)
    coming = asyncio.ensure_future(anext(frames, None))
    try:
        while True:
            if not (await asyncio.wait({coming}, timeout=SILENT_S))[0]:
                await client.gap(round(SILENT_S * 16_000))
                continue
            if (heard := coming.result()) is None:
                break
            coming = asyncio.ensure_future(anext(frames, None))
            await client.send(np.frombuffer(heard.frame.data, "<i2") / 32_768)
        await client.end()
    finally:
        coming.cancel()


server = AgentServer()


@server.rtc_session()
async def agent(context: JobContext) -> None:
    """What LiveKit runs for a room."""

    async def tell(event: dict[str, Any]) -> None:
        await context.room.local_participant.publish_data(json.dumps(event), topic=TOPIC)

    attend(context.room, tell, os.environ.get("STREAMER_URL", "ws://127.0.0.1:8765"), os.environ.get("STREAMER_TOKEN"))
    await context.connect(auto_subscribe=AutoSubscribe.AUDIO_ONLY)


if __name__ == "__main__":
    cli.run_app(server)

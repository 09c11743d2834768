"""The LiveKit agent, hearing the real library's audio: a source's frames, through its track, out of its stream.

No LiveKit server is to be had from a package registry, so that nobody joins a room here: the room is the library's own,
not connected, and says by hand that a microphone came and went.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest
from asking import asking
from talking import PATIENCE_S

from streamer.audio.files import read_audio
from streamer.demo import ENROLMENT
from streamer.engine.engine import Engine

pytest.importorskip("livekit.agents", reason="LiveKit is not installed: pip install livekit-agents")
from livekit import rtc

RATE = 48_000


async def speak(source: rtc.AudioSource, samples: np.ndarray) -> None:
    """Samples of 16 kHz, as a browser sends them: frames of 10 ms at 48 kHz."""
    pcm = (np.repeat(samples, RATE // 16_000) * 32_767).astype("<i2")
    for at in range(0, len(pcm), RATE // 100):
        chunk = pcm[at : at + RATE // 100]
        await source.capture_frame(rtc.AudioFrame(chunk.tobytes(), RATE, 1, len(chunk)))
    await source.wait_for_playout()


async def test_a_room_is_told_the_names_of_who_speaks_at_each_microphone(serving, demo):
    told: asyncio.Queue[dict] = asyncio.Queue()

    async def said(type_: str) -> dict:
        async with asyncio.timeout(3 * PATIENCE_S):
            while (event := await told.get())["type"] != type_:
                pass
        return event

    livekit = demo("livekit_agent")
    async with serving(Engine("default", device="cpu", threads=1)) as server, asking(server) as http:
        await http.put("/v1/speakers/brian", content=ENROLMENT["brian"].read_bytes())
        room, source = rtc.Room(), rtc.AudioSource(RATE, 1)
        tasks = livekit.attend(room, told.put, server.url.replace("http", "ws"))
        track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
        heard = (track, SimpleNamespace(sid="TR_1"), SimpleNamespace(identity="the kitchen"))
        room.emit("track_subscribed", *heard)
        await speak(source, read_audio(ENROLMENT["brian"]).mono_16k()[-80_000:])
        named = await said("speaker")
        assert (named["participant"], named["speaker"]) == ("the kitchen", "brian")
        # Nothing comes any more: a gap, and the turn is over; then the microphone goes.
        assert (await said("turn_end"))["speaker"] == "brian"
        room.emit("track_unsubscribed", *heard)
        async with asyncio.timeout(3 * PATIENCE_S):
            await asyncio.gather(*tasks)
        await source.aclose()
    assert not tasks


def test_livekit_is_given_the_agent_to_run(demo):
    livekit = demo("livekit_agent")
    with pytest.raises(RuntimeError, match="only supports registering only one rtc_session"):
        livekit.server.rtc_session()(livekit.agent)

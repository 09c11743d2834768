"""The Wyoming service, asked as an assistant asks: by the real library, against the real server."""

from __future__ import annotations

import asyncio
import socket

import numpy as np
import pytest
from asking import asking
from talking import PATIENCE_S

from streamer.audio.files import read_audio
from streamer.demo import ENROLMENT
from streamer.engine.engine import Engine

pytest.importorskip("wyoming", reason="Wyoming is not installed: pip install wyoming")
from wyoming.asr import Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncClient
from wyoming.info import Describe, Info


async def said(client: AsyncClient, samples: np.ndarray, rate: int = 16_000) -> str:
    """What the service makes of these samples, sent in chunks as a satellite does."""
    await client.write_event(AudioStart(rate, 2, 1).event())
    pcm = (samples * 32767).astype("<i2").tobytes()
    for at in range(0, len(pcm), 2048):
        await client.write_event(AudioChunk(rate, 2, 1, pcm[at : at + 2048]).event())
    await client.write_event(AudioStop().event())
    async with asyncio.timeout(3 * PATIENCE_S):
        event = await client.read_event()
    assert event is not None
    return Transcript.from_event(event).text


async def test_an_assistant_is_told_the_name_of_who_asks_and_nothing_of_strangers(serving, demo):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    uri = f"tcp://127.0.0.1:{port}"
    async with serving(Engine("default", device="cpu", threads=1)) as server, asking(server) as http:
        for name in ("angus", "brian"):
            await http.put(f"/v1/speakers/{name}", content=ENROLMENT[name].read_bytes())
        service = asyncio.create_task(demo("wyoming_service").main(["--uri", uri, "--server", server.url]))
        client = AsyncClient.from_uri(uri)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    await client.connect()
                    break
                except OSError:
                    await asyncio.sleep(0.05)
        await client.write_event(Describe().event())
        described = Info.from_event(await client.read_event())
        assert described.asr[0].name == "streamer"
        brian = read_audio(ENROLMENT["brian"]).mono_16k()[-80_000:]
        assert await said(client, brian) == "brian"
        carol = read_audio(ENROLMENT["carol"]).mono_16k()[:80_000]
        assert await said(client, carol) == ""
        # Too little to say, another rate, and a second request on the same connection.
        assert await said(client, np.zeros(8000)) == ""
        assert await said(client, np.repeat(brian, 3), 48_000) == "brian"
        await client.disconnect()
        service.cancel()
        await asyncio.gather(service, return_exceptions=True)

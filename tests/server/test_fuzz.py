"""Whatever clients do, the server answers or closes, serves the others, and forgets nothing and nobody."""

from __future__ import annotations

import asyncio
import base64
import gc
import logging
import os
import time

import numpy as np
from fuzzing import descriptors, storm
from talking import PATIENCE_S, empty, pcm, talking

CASES = int(os.environ.get("STREAMER_FUZZ_CASES", "250"))
BATCH = 250


async def honest(server, audio: bytes) -> list[dict]:
    """An honest client's events."""
    async with talking(server) as talk:
        await talk.start(windows=True, embeddings=True, stats_interval=0)
        for start in range(0, len(audio), 3_200):
            await talk.socket.send(audio[start : start + 3_200])
            await asyncio.sleep(0)
        await talk.say(type="end")
        await talk.until("goodbye")
        return talk.events


def alike(one: list[dict], other: list[dict]) -> bool:
    """The same events; their numbers up to what the companions in a batch change in a float32 sum."""
    if [without_numbers(event) for event in one] != [without_numbers(event) for event in other]:
        return False
    pairs = [(a["embedding"], b["embedding"]) for a, b in zip(one, other, strict=True) if "embedding" in a]
    return all(np.allclose(*(np.frombuffer(base64.b64decode(e), "<f4") for e in pair), atol=1e-4) for pair in pairs)


def without_numbers(event: dict) -> dict:
    return {key: value for key, value in event.items() if not isinstance(value, float) and key != "embedding"}


async def test_hostile_clients_harm_nobody(serving, caplog):
    caplog.set_level(logging.WARNING, logger="streamer.server")
    audio = pcm(3.0)
    async with serving(resume_s=0.2, hello_timeout_s=1.0, max_streams=200, max_streams_per_address=200) as server:
        alone = await honest(server, audio)
        await storm(server, 0, 20, 8)  # what is made once, threads and caches, is made now
        await empty(server)
        gc.collect()
        tasks, files = len(asyncio.all_tasks()), descriptors()
        for first in range(0, CASES, BATCH):
            cases = asyncio.create_task(storm(server, 20 + first, min(BATCH, CASES - first), 8))
            assert alike(await honest(server, audio), alone)
            await cases
        await empty(server)
        async with asyncio.timeout(PATIENCE_S):
            # Handshakes that were never finished run into their time limit.
            while server.admission.connections or len(asyncio.all_tasks()) > tasks:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        gc.collect()
        assert server.admission.streams == 0
        assert descriptors() <= files
        assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_thousand_connects_leave_nothing_behind(serving):
    async with serving(max_connections=64) as server:

        async def knock() -> None:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.transport.abort()

        began = time.monotonic()
        for _ in range(20):
            await asyncio.gather(*(knock() for _ in range(50)))
        assert time.monotonic() - began < 60
        async with asyncio.timeout(PATIENCE_S):
            while server.admission.connections:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        async with talking(server) as talk:
            assert (await talk.start())["type"] == "ready"

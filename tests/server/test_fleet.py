"""Several servers behind a real proxy are as one to their clients, whichever of them dies or is started again."""

from __future__ import annotations

import asyncio
import signal
import sys

import httpx2
import numpy as np
import pytest
from asking import wave
from fleet import NGINX, PATIENCE_S, RATE, STREAM_SILENCE_S, check, fleet, talk, told
from postgres import database, url

from streamer.audio.files import read_audio
from streamer.demo import CONVERSATION

__all__ = ["database", "url"]

pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'speaker-streamer[postgres]'")
pytestmark = [
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed: apt-get install nginx-light"),
    pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's"),
]

SECONDS = 16.0
SESSIONS = 6


@pytest.fixture(scope="module")
def conversation():
    """The bundled conversation: several people, nobody of whom is enrolled."""
    return read_audio(CONVERSATION).mono_16k()[: int(SECONDS * RATE)]


async def undisturbed(url, samples):
    clean = await talk(url, samples, speed=None)
    assert {"unknown", "turn_end", "window"} <= {event["type"] for event in clean.events}
    return clean


async def test_no_session_is_lost_where_one_of_two_servers_is_killed(tmp_path, url, conversation):
    async with fleet(tmp_path, 2, state_store=url, store=url) as servers:
        clean = await undisturbed(servers.url, conversation)
        talking = [asyncio.create_task(talk(servers.url, conversation, 1.0, 0.1 * n)) for n in range(SESSIONS)]
        await asyncio.sleep(SECONDS / 2)  # speech has a clock of its own
        await servers.members[0].end(signal.SIGKILL)
        talks = await asyncio.gather(*talking)
    assert 0 < sum(one.reconnects for one in talks) < SESSIONS, "those of the other server have noticed nothing"
    check(talks, clean)


async def test_a_rolling_restart_loses_and_doubles_no_event(tmp_path, url, conversation):
    async with fleet(tmp_path, 2, state_store=url, store=url) as servers:
        clean = await undisturbed(servers.url, conversation)
        talking = [asyncio.create_task(talk(servers.url, conversation, 1.0, 0.1 * n)) for n in range(SESSIONS)]
        await asyncio.sleep(SECONDS / 4)
        for member in servers.members:
            await member.end(signal.SIGTERM)
            await member.start()
        talks = await asyncio.gather(*talking)
    assert sum(one.reconnects for one in talks) > 0
    check(talks, clean)


async def test_a_server_that_hangs_is_left_and_when_it_goes_on_its_sessions_are_another_s(tmp_path, url, conversation):
    async with fleet(tmp_path, 2, state_store=url, store=url) as servers:
        clean = await undisturbed(servers.url, conversation)
        talking = [asyncio.create_task(talk(servers.url, conversation, 1.0, 0.1 * n)) for n in range(SESSIONS)]
        await asyncio.sleep(SECONDS / 4)
        hung, other = servers.members
        hung.process.send_signal(signal.SIGSTOP)
        await told(other.port, r"streamer_resumes_total [1-9]")
        hung.process.send_signal(signal.SIGCONT)
        # It writes its sessions down, and learns whose they are.
        await told(hung.port, r'streamer_snapshots_total{result="moved"} [1-9]')
        talks = await asyncio.gather(*talking)
    assert sum(one.reconnects for one in talks) > 0
    check(talks, clean)


async def test_a_large_recording_is_taken_through_the_proxy_and_may_take_longer_than_a_stream_may_be_silent(
    tmp_path, url, conversation
):
    recording = wave(np.tile(conversation, 4)[: 45 * RATE])
    assert len(recording) > 1 << 20, "what nginx takes by itself"
    async with fleet(tmp_path, 1, state_store=url, store=url) as servers:
        [member] = servers.members
        async with httpx2.AsyncClient(
            trust_env=False, timeout=PATIENCE_S, base_url=f"http://127.0.0.1:{servers.port}"
        ) as client:
            asked = asyncio.create_task(client.post("/v1/identify", content=recording))
            await told(member.port, r"streamer_streams [1-9]")
            member.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(STREAM_SILENCE_S + 1.0)  # nginx has a clock of its own
            member.process.send_signal(signal.SIGCONT)
            answer = await asked
    assert (answer.status_code, round(answer.json()["duration"])) == (200, 45)

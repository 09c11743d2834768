"""Bad weather under live sessions: the database gone, clocks that differ, a disk that is full."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from asking import wave
from fleet import NGINX, PATIENCE_S, RATE, check, fleet, talk, told
from postgres import Postgres, _programs
from talking import pcm, talking

from streamer.audio.files import read_audio
from streamer.demo import CONVERSATION, ENROLMENT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")

behind_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed: apt-get install nginx-light")
#: How long the database is gone; at 30 s that test takes 70 s.
AWAY_S = float(os.environ.get("STREAMER_TEST_AWAY_S", "5"))
SESSIONS = 4
KEPT, NOT_KEPT = r"(?m)^streamer_sessions_kept 1\.0", r"(?m)^streamer_sessions_kept 0\.0"
FAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)


@pytest.fixture
def database():
    """A PostgreSQL that can be gone for a while."""
    if _programs() is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'speaker-streamer[postgres]'")
    # Not in pytest's folder: whoever starts another pytest meanwhile closes that to PostgreSQL's user.
    with tempfile.TemporaryDirectory(prefix="streamer-") as name:
        server = Postgres(Path(name), Path(name))
        try:
            server.start()
            yield server
        finally:
            server.stop(signal.SIGQUIT)


@pytest.fixture
def disk(tmp_path):
    """A disk of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", str(folder)]
    if sys.platform != "linux" or os.getuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no disk of its own can be made: that takes root, and a system that lets it mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all that is left of a disk."""
    file = folder / "filler"
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))
    return file


def speech(seconds):
    return read_audio(CONVERSATION).mono_16k()[: int(seconds * RATE)]


def begin(servers, samples):
    return [asyncio.create_task(talk(servers.url, samples, 1.0, 0.1 * n)) for n in range(SESSIONS)]


async def underway(servers):
    """Each server has some of the sessions, and has heard some seconds of them."""
    await asyncio.gather(*(told(member.port, r"(?m)^streamer_streams [1-9]") for member in servers.members))
    await asyncio.sleep(3.0)  # speech has a clock of its own


@behind_nginx
async def test_sessions_go_on_while_the_database_is_gone_and_are_safe_once_it_is_back(tmp_path, database):
    """It crashes, and has lost the states of all of them when it comes back: their table is not logged."""
    samples = speech(AWAY_S + 30.0)
    async with fleet(tmp_path, 2, state_store=database.url, store=database.url) as servers:
        first = servers.members[0]
        clean = await talk(servers.url, samples, speed=None)
        talks = begin(servers, samples)
        await underway(servers)
        await asyncio.to_thread(database.stop, signal.SIGQUIT)
        await asyncio.gather(*(told(member.port, NOT_KEPT) for member in servers.members))
        # Who comes now is served as well: the people are known.
        late = await talk(servers.url, samples[: 3 * RATE], speed=None)
        assert [one for one in late.events if one["type"] == "window"]
        assert not [one for one in late.messages if one["type"] == "error"]
        await asyncio.sleep(AWAY_S)
        await asyncio.to_thread(database.start)
        await asyncio.gather(*(told(member.port, KEPT) for member in servers.members))
        assert not any(one.done() for one in talks)
        # One state of each, also where the crash has emptied the table.
        await told(first.port, r"(?m)^streamer_sessions_kept_age_seconds [0-2]\.")
        await first.end(signal.SIGKILL)
        found = await asyncio.gather(*talks)
    assert 0 < sum(one.reconnects for one in found) < SESSIONS, "of the one that was killed, and nobody's else"
    check(found, clean)


@behind_nginx
async def test_who_loses_the_server_while_the_database_is_gone_waits_for_it(tmp_path, database):
    samples = speech(16.0)
    async with fleet(tmp_path, 2, state_store=database.url, store=database.url) as servers:
        first, second = servers.members
        clean = await talk(servers.url, samples, speed=None)
        talks = begin(servers, samples)
        await underway(servers)
        await asyncio.to_thread(database.stop)
        await told(second.port, NOT_KEPT)
        await first.end(signal.SIGKILL)
        await told(second.port, r'streamer_errors_total{code="busy"} [1-9]')
        await asyncio.to_thread(database.start)
        found = await asyncio.gather(*talks)
    assert sum(one.reconnects for one in found) > 0
    check(found, clean)


def clock(offset):
    """The environment of a process whose clock is off by so much."""
    return {"LD_PRELOAD": str(FAKETIME), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def time_of(member):
    """When it wrote the first line of its log, by its own clock."""
    return datetime.fromisoformat(json.loads(member.log.read_text().splitlines()[0])["time"])


@behind_nginx
@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed: apt-get install libfaketime")
@pytest.mark.parametrize("killed", [0, 1], ids=["ahead", "behind"])
async def test_servers_take_up_each_other_s_sessions_however_far_their_clocks_are_apart(tmp_path, database, killed):
    samples = speech(16.0)
    apart = [clock("+5s"), clock("-1h")]
    async with fleet(tmp_path, 2, environments=apart, state_store=database.url, store=database.url) as servers:
        first, second = (time_of(member) for member in servers.members)
        assert first - second > timedelta(minutes=59), "the clocks are not the same"
        clean = await talk(servers.url, samples, speed=None)
        talks = begin(servers, samples)
        await underway(servers)
        await servers.members[killed].end(signal.SIGKILL)
        found = await asyncio.gather(*talks)
    assert sum(one.reconnects for one in found) > 0
    check(found, clean)


@behind_nginx
@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed: apt-get install libfaketime")
async def test_a_person_is_known_to_a_server_whose_clock_is_five_seconds_away(tmp_path, database):
    async with fleet(tmp_path, 2, environments=[clock("-5s")], state_store=database.url, store=database.url) as servers:
        here, there = (f"http://127.0.0.1:{member.port}" for member in servers.members)
        async with httpx2.AsyncClient(trust_env=False, timeout=PATIENCE_S) as client:
            for number, (one, other) in enumerate(((here, there), (there, here))):
                path = f"/v1/speakers/carol-{number}"
                enrolled = await client.put(one + path, content=ENROLMENT["carol"].read_bytes())
                assert enrolled.status_code == 200
                async with asyncio.timeout(PATIENCE_S):
                    while f"carol-{number}" not in await named(client, other):  # noqa: ASYNC110 - nothing tells of it
                        await asyncio.sleep(0.1)
                await client.delete(other + path)


async def named(client, where):
    """Who is said to have spoken by a server that is given carol."""
    samples = read_audio(ENROLMENT["carol"]).mono_16k()[: 5 * RATE]
    found = (await client.post(f"{where}/v1/identify", content=wave(samples))).json()
    return [one["name"] for one in found["candidates"]]


async def test_on_a_full_disk_sessions_go_on_and_are_written_down_once_there_is_room(serving, disk, caplog):
    caplog.set_level(logging.INFO, logger="streamer.server")
    state = {"state_dir": str(disk / "state"), "snapshot_s": 0.1, "burst_s": 60.0}
    audio = pcm(12.0)
    third = len(audio) // 3
    async with serving(**state) as server, talking(server) as talk:
        ready = await talk.start(windows=True, stats_interval=0)
        await talk.socket.send(audio[:third])
        await until(server, lambda: server.rooms._keeper._marks and written(server))
        filler = fill(disk)
        await talk.socket.send(audio[third : 2 * third])
        await until(server, lambda: "streamer_sessions_kept 0.0" in server.metrics.text().decode())
        await talk.say(type="flush")
        await talk.until("flushed")
        assert not list((disk / "state").glob("*.part")), "nothing half written fills it further"
        filler.unlink()
        await until(server, lambda: "streamer_sessions_kept 1.0" in server.metrics.text().decode())
        draining = asyncio.create_task(server.drain())
        assert (await talk.until("goodbye"))["resume"]
        await draining
        before = talk.events
    said = [record.getMessage() for record in caplog.records]
    assert (said.count("sessions not kept"), said.count("sessions kept again")) == (1, 1)
    async with serving(**state) as server, talking(server) as talk:
        last = before[-1]["id"]
        resumed = await talk.start(resume=ready["resume"], last_event=last, position=8 * RATE)
        assert (resumed["resumed"], resumed["position"]) == (True, 8 * RATE)
        await talk.socket.send(audio[2 * third :])
        await talk.say(type="end")
        await talk.until("goodbye")
    events = before + talk.events
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert not [event for event in events if event["type"] == "gap"]
    assert events[-1]["decided_sample"] == 12 * RATE


def written(server):
    return all(mark.seen and mark.seen[2] >= 1 for mark in server.rooms._keeper._marks.values())


async def until(server, true):
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)

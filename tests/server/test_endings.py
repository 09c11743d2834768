"""A server ends when it is told to, or when its engine cannot go on; and says truly what there is to come back to."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from talking import PATIENCE_S, pcm, talking

from streamer.engine.worker import Health
from streamer.server import app
from streamer.server.watchdog import FAILURES, Watchdog

WORKS = Health(alive=True, busy=True, batches=7, failures=0)


def seen(*looks: tuple[float, Health], timeout_s: float = 10.0) -> list[str | None]:
    """What a watchdog that looks about each second says at these times."""
    watchdog = Watchdog(timeout_s, 1.0)
    return [watchdog.look(health, at) for at, health in looks]


def test_a_batch_that_never_ends_is_an_engine_that_stands_still():
    said = seen(*((float(at), WORKS) for at in range(14)))
    assert said[:10] == [None] * 10
    assert said[-1] == "The engine has not answered for 10 s."


def test_an_engine_that_steps_on_or_has_nothing_to_do_is_well():
    batches = [(float(at), Health(True, True, at // 3, 0)) for at in range(60)]
    idle = [(60.0 + at, Health(True, False, 20, 0)) for at in range(60)]
    assert seen(*batches, *idle) == [None] * 120


def test_a_process_that_was_suspended_has_not_seen_its_engine_stand_still():
    assert seen((0.0, WORKS), (1.0, WORKS), (3600.0, WORKS), (3601.0, WORKS)) == [None] * 4


def test_an_engine_whose_thread_has_ended_is_dead():
    assert seen((0.0, Health(False, False, 7, 0))) == ["The engine's thread has ended."]


def test_an_engine_that_fails_at_everything_is_not_well_and_one_that_failed_once_is():
    assert seen((0.0, Health(True, False, 7, FAILURES - 1))) == [None]
    assert "failed at 3 batches" in str(seen((0.0, Health(True, False, 9, FAILURES)))[0])


async def ready_status(server) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    status = (await reader.read()).split()[1]
    writer.close()
    await writer.wait_closed()
    return int(status)


async def test_a_hung_engine_turns_readiness_red_and_every_client_is_told(serving, caplog):
    go_on = threading.Event()
    async with serving(engine_timeout_s=1.0) as server, talking(server) as talk, talking(server) as other:
        await talk.start(stats_interval=0.2)
        await other.start(stats_interval=0)
        assert await ready_status(server) == 200
        genuine = server._engine.incremental.step

        def hang(blocks):
            go_on.wait()
            return genuine(blocks)

        server._engine.incremental.step = hang
        try:
            await talk.socket.send(pcm(2.0))
            errors = [await talk.until("error"), await other.until("error")]
            assert await ready_status(server) == 503
            with pytest.raises(app.EngineFailed, match="has not answered for 1 s"):
                await server.run()
        finally:
            go_on.set()
            del server._engine.incremental.step
    for error in errors:
        assert (error["code"], error["fatal"]) == ("internal", True)
        assert error["retry_after"] > 0
    lags = [message["lag"] for message in talk.messages if message["type"] == "stats"]
    assert max(lags) > 0.5, "the lag says so too, before the watchdog does"
    assert "engine failed" in caplog.text


async def test_an_engine_that_fails_at_every_batch_is_given_up(serving):
    async with serving() as server:

        def fail(blocks):
            raise RuntimeError("the device has left the bus")

        server._engine.incremental.step = fail
        try:
            for _ in range(FAILURES):
                async with talking(server) as talk:
                    answer = await talk.start(stats_interval=0)
                    if answer["type"] == "error":
                        break
                    await talk.socket.send(pcm(1.0))
                    await talk.until("error")
            with pytest.raises(app.EngineFailed, match="failed at 3 batches"):
                async with asyncio.timeout(PATIENCE_S):
                    await server.run()
            assert await ready_status(server) == 503
        finally:
            del server._engine.incremental.step


@pytest.mark.parametrize("kept", ["kept", "nowhere to keep it", "cannot be written"])
async def test_goodbye_says_resume_only_where_the_session_lies_on_the_disk(serving, tmp_path, kept):
    state = tmp_path / "state"
    async with serving(state_dir="" if kept == "nowhere to keep it" else str(state)) as server, talking(server) as talk:
        await talk.start(stats_interval=0)
        await talk.socket.send(pcm(1.0))
        await talk.say(type="flush")
        await talk.until("flushed")
        if kept == "cannot be written":
            shutil.rmtree(state)
        draining = asyncio.create_task(server.drain())
        goodbye = await talk.until("goodbye")
        await draining
    assert goodbye["resume"] == (kept == "kept")
    assert goodbye["retry_after"] > 0
    assert (len(list(state.iterdir())) if state.exists() else 0) == (kept == "kept")


SERVER = """
    import asyncio, sys, threading
    from streamer.engine.engine import Engine
    from streamer.server import log
    from streamer.server.app import Server
    from streamer.server.config import ServerConfig
    from streamer.server.signals import end_process
    from streamer.speakers.store import SpeakerStore

    def hang(blocks):
        print("hangs", flush=True)
        threading.Event().wait()

    async def main():
        log.configure("info", sys.stderr)
        config = ServerConfig(port=0, max_streams=4, grace_s=float(sys.argv[2]), state_dir=sys.argv[1] + "/state")
        with SpeakerStore(sys.argv[1] + "/speakers.db") as store:
            async with Engine("default", device="cpu", threads=1) as engine:
                async with Server(config, engine, store) as server:
                    if "hang" in sys.argv:
                        engine.incremental.step = hang
                    await server.run(lambda: print(server.url, flush=True), force=end_process)

    asyncio.run(main())
"""


@pytest.fixture
def process(tmp_path):
    """`process(10, "hang")`: a server of its own, with this grace; and where it listens."""
    running = []

    def start(grace_s: float, *options: str) -> tuple[subprocess.Popen, int]:
        command = [sys.executable, "-c", textwrap.dedent(SERVER), str(tmp_path), str(grace_s), *options]
        made = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        running.append(made)
        found = re.search(r":(\d+)/", made.stdout.readline())
        assert found
        return made, int(found[1])

    yield start
    for made in running:
        made.kill()
        made.communicate()


class At:
    """Where a server listens that is another process."""

    def __init__(self, port: int) -> None:
        self.port = port


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
async def test_further_signals_while_it_drains_change_nothing_and_the_session_is_kept(process, tmp_path):
    made, port = await asyncio.to_thread(process, 30)
    async with talking(At(port)) as talk:
        await talk.start(stats_interval=0)
        await talk.socket.send(pcm(1.0))
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            made.send_signal(number)
        goodbye = await talk.until("goodbye")
    _, err = await asyncio.to_thread(made.communicate)
    assert made.returncode == 0, err
    assert goodbye["resume"]
    assert len(list((tmp_path / "state").iterdir())) == 1
    events = [json.loads(line)["event"] for line in err.splitlines()]
    assert events.count("draining") == 1


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
async def test_sigterm_ends_a_server_whose_engine_hangs_within_its_grace(process, tmp_path):
    grace_s = 3.0
    made, port = await asyncio.to_thread(process, grace_s, "hang")
    async with talking(At(port)) as talk:
        await talk.start(stats_interval=0)
        await talk.socket.send(pcm(2.0))
        assert await asyncio.to_thread(made.stdout.readline) == "hangs\n"
        made.send_signal(signal.SIGTERM)
        began = time.monotonic()
        goodbye = await talk.until("goodbye")
        await asyncio.to_thread(made.communicate)
        took = time.monotonic() - began
    # The engine's state of now can't be had; that of before is good, if there was time to write one.
    assert goodbye["resume"] == any((tmp_path / "state").iterdir())
    assert made.returncode == 70
    assert took < grace_s + 10.0, "a busy machine takes a moment to end a process"

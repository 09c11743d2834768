"""A session is lost neither to a restart, nor to a server without room, nor to two clients that want it at once."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os

import numpy as np
import pytest
from talking import PATIENCE_S, RATE, empty, pcm, talking

from streamer.server import auth
from streamer.server.keeping import handover, keeper
from streamer.snapshot import pack, unpack

QUIET = {"stats_interval": 0}


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


@contextlib.asynccontextmanager
async def stopped(serving, state, start=QUIET, audio=b"", **settings):
    """A server that has just stopped, and the `ready` and events of the session that it has kept."""
    async with serving(state_dir=str(state), **settings) as server, talking(server) as talk:
        ready = await talk.start(**start)
        await talk.socket.send(audio)
        await talk.say(type="flush")
        await talk.until("flushed")
        draining = asyncio.create_task(server.drain())
        await talk.until("goodbye")
        await draining
        yield server, ready, talk.events


async def answer(server, **start):
    """What a connection that begins so is told first."""
    async with talking(server) as talk:
        return await talk.start(**start)


def change(file, how):
    """Write a kept session again, changed."""
    tree = unpack(file.read_bytes())
    how(tree)
    file.write_bytes(pack(tree))


async def test_a_stopping_server_takes_no_session_back_and_leaves_it_to_the_next(serving, state):
    async with stopped(serving, state) as (server, ready, _):
        [kept] = state.iterdir()
        before = kept.read_bytes()
        refused = await answer(server, resume=ready["resume"])
        assert (refused["code"], refused["fatal"]) == ("busy", True)
        assert refused["retry_after"] > 0
        assert kept.read_bytes() == before
    async with serving(state_dir=str(state)) as server:
        assert (await answer(server, resume=ready["resume"]))["resumed"]
        assert not kept.exists(), "it is the next one's by now"


async def test_a_server_without_room_keeps_the_session_until_there_is(serving, state):
    async with stopped(serving, state) as (_, ready, _):
        pass
    async with serving(state_dir=str(state), max_streams=1) as server:
        async with talking(server) as other:
            await other.start()
            assert (await answer(server, resume=ready["resume"]))["code"] == "busy"
            await other.say(type="end")
            await other.until("goodbye")
        await empty(server)
        assert (await answer(server, resume=ready["resume"]))["resumed"]


async def test_who_asks_for_the_session_of_another_does_not_cost_them_it(serving, state, tmp_path):
    made = {name: auth.new_token(name, ["stream"]) for name in ("owner", "thief")}
    (tmp_path / "tokens").write_text("\n".join(line for _, line in made.values()))
    start = {"token": made["owner"][0], **QUIET}
    async with stopped(serving, state, start, token_file=str(tmp_path / "tokens")) as (_, ready, _):
        pass
    async with serving(state_dir=str(state), token_file=str(tmp_path / "tokens")) as server:
        stolen = await answer(server, resume=ready["resume"], token=made["thief"][0])
        assert stolen["code"] == "unknown_session"
        assert (await answer(server, resume=ready["resume"], token=made["owner"][0]))["resumed"]


def another_tracker(tree):
    tracker = unpack(tree["channels"][0]["tracker"].tobytes())
    del tracker["boundaries"]
    tree["channels"][0]["tracker"] = np.frombuffer(pack(tracker), np.uint8)


def another_session(tree):
    session = json.loads(tree["session"])
    del session["replay"]
    tree["session"] = json.dumps(session)


def too_few_channels(tree):
    tree["channels"] = []


@pytest.mark.parametrize("damage", [another_tracker, another_session, too_few_channels])
async def test_a_session_of_another_release_is_not_taken_and_holds_no_slot(serving, state, damage):
    async with stopped(serving, state) as (_, ready, _):
        pass
    [kept] = state.iterdir()
    change(kept, damage)
    async with serving(state_dir=str(state)) as server:
        assert (await answer(server, resume=ready["resume"]))["code"] == "unknown_session"
        assert server.admission.streams == 0


async def test_after_a_restart_what_was_looked_at_is_known_to_be(serving, state):
    start = {"stats_interval": 0.2}
    async with stopped(serving, state, start, pcm(3.0)) as (_, ready, _):
        pass
    async with serving(state_dir=str(state)) as server, talking(server) as talk:
        await talk.start(resume=ready["resume"], position=0)
        await talk.say(type="flush", request=1)
        assert (await talk.until("flushed"))["sample"] == 3 * RATE
        assert (await talk.until("stats"))["queue"] == 0.0


async def test_the_whole_time_of_a_restart_is_missing_and_nothing_shifts(serving, state):
    async with stopped(serving, state, audio=pcm(1.0)) as (_, ready, _):
        pass
    [kept] = state.iterdir()
    before = kept.stat().st_mtime - 60.0
    os.utime(kept, (before, before))
    async with serving(state_dir=str(state), resume_s=30.0) as server:
        resumed = await answer(server, resume=ready["resume"])
    # What the restart itself took here is far below the 30 s that would be missing.
    assert resumed["position"] / RATE == pytest.approx(1.0 + 60.0, abs=10.0)


async def test_a_server_that_stops_in_the_midst_of_it_loses_no_step(serving, state, monkeypatch):
    monkeypatch.setattr(handover, "SETTLE_S", PATIENCE_S)  # this machine may have other things to do
    audio, options = pcm(8.0), {"windows": True, "embeddings": True, "channels": 2, "channel_mode": "split", **QUIET}
    stereo = np.repeat(np.frombuffer(audio, "<i2"), 2).tobytes()

    def told(events):
        return [[event for event in events if event["channel"] == channel] for channel in (0, 1)]

    def bare(events):
        return [[event | {"id": 0, "embedding": None} for event in of_channel] for of_channel in told(events)]

    def embeddings(events):
        coded = [event["embedding"] for of_channel in told(events) for event in of_channel if "embedding" in event]
        return np.array([np.frombuffer(base64.b64decode(one), "<f4") for one in coded])

    async with serving() as server, talking(server) as clean:
        await clean.start(**options)
        await clean.socket.send(stereo)
        await clean.say(type="end")
        await clean.until("goodbye")
    async with serving(state_dir=str(state), grace_s=5 * PATIENCE_S) as server, talking(server) as talk:
        ready = await talk.start(**options)
        [room] = server.rooms
        await talk.socket.send(stereo[: len(stereo) // 2])
        await talk.until("window")
        draining = asyncio.create_task(server.drain())
        await talk.until("goodbye")
        await draining
        before = talk.events
    assert room.session.received == 4 * RATE
    async with serving(state_dir=str(state)) as server, talking(server) as talk:
        await talk.start(resume=ready["resume"], last_event=before[-1]["id"], position=0)
        await talk.socket.send(stereo[len(stereo) // 2 :])
        await talk.say(type="end")
        await talk.until("goodbye")
    assert bare(before + talk.events) == bare(clean.events)
    # What is computed together with what is a matter of time, and of the last digits.
    np.testing.assert_allclose(embeddings(before + talk.events), embeddings(clean.events), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("settle_s", [0.0, PATIENCE_S], ids=["unfinished", "finished"])
async def test_an_end_that_was_said_before_a_restart_is_reached_after_it(serving, state, monkeypatch, settle_s):
    monkeypatch.setattr(handover, "SETTLE_S", settle_s)
    async with serving(state_dir=str(state), grace_s=5 * PATIENCE_S) as server, talking(server) as talk:
        ready = await talk.start(windows=True, **QUIET)
        await talk.socket.send(pcm(8.0))
        await talk.say(type="end")
        await talk.until("window")
        draining = asyncio.create_task(server.drain())
        goodbye = await talk.until("goodbye")
        await draining
        heard = talk.events
    if goodbye["reason"] == "draining":
        async with serving(state_dir=str(state)) as server, talking(server) as talk:
            assert (await talk.start(resume=ready["resume"], last_event=heard[-1]["id"]))["resumed"]
            assert (await talk.until("goodbye"))["reason"] == "ended"
            heard += talk.events
    else:  # while the server still waited for what was being computed, all of it was
        assert goodbye["reason"] == "ended"
    assert [event["id"] for event in heard] == list(range(1, len(heard) + 1))
    assert heard[-1]["decided_sample"] == 8 * RATE


async def test_of_two_that_resume_at_once_the_last_has_the_session_and_is_heard(server):
    async with contextlib.AsyncExitStack() as stack:
        old, *both = [await stack.enter_async_context(talking(server, close_timeout=0.1)) for _ in range(3)]
        ready = await old.start(**QUIET)
        # The server waits for the old one to say goodbye too; both are there by then.
        old.socket.transport.pause_reading()
        for answered in await asyncio.gather(*(talk.start(resume=ready["resume"]) for talk in both)):
            assert (answered["type"], answered["resumed"]) == ("ready", True)
        waiting = [asyncio.create_task(talk.until("goodbye")) for talk in both]
        done, _ = await asyncio.wait(waiting, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
        [first] = done
        assert first.result()["reason"] == "replaced"
        winner = both[1 - waiting.index(first)]
        still = waiting[both.index(winner)]
        still.cancel()
        await asyncio.wait([still])
        await winner.socket.send(pcm(1.0))
        await winner.say(type="flush")
        assert (await winner.until("flushed"))["sample"] == RATE


async def test_who_was_replaced_cannot_end_the_session_by_leaving(server):
    async with talking(server, close_timeout=0.1) as old, talking(server) as new:
        ready = await old.start(**QUIET)
        [room] = server.rooms
        wire = room._presence.connection
        old.socket.transport.pause_reading()
        resuming = asyncio.create_task(new.start(resume=ready["resume"]))
        async with asyncio.timeout(PATIENCE_S):
            while wire.protocol.close_sent is None:  # noqa: ASYNC110 - no event tells that a frame was written
                await asyncio.sleep(0.01)
        await old.socket.close(1000)
        assert (await resuming)["resumed"]
        assert not room.over


async def test_a_session_that_breaks_ends_alone(server):
    async with talking(server) as broken, talking(server) as other:
        await broken.start(stats_interval=0.1)
        [room] = server.rooms
        await other.start(stats_interval=0.1)
        del room.session.replay
        error = await broken.until("error")
        assert (error["code"], error["fatal"]) == ("internal", True)
        await broken.socket.wait_closed()
        assert broken.socket.close_code == 1011
        for _ in range(2):
            await other.until("stats")


async def test_a_session_that_cannot_be_closed_gives_its_slot_back(server, caplog):
    async def fail():
        raise RuntimeError("jammed")

    async with talking(server) as talk:
        await talk.start(**QUIET)
        [room] = server.rooms
        genuine, room.shut = room.shut, fail
        await talk.say(type="end")
        await talk.until("goodbye")
    await empty(server)
    assert server.admission.streams == 0
    assert "session not closed" in caplog.text
    await genuine()


async def test_the_shelf_is_cleared_while_the_server_runs(serving, state, monkeypatch):
    monkeypatch.setattr(keeper, "CLEAR_S", 0.0)
    async with stopped(serving, state) as (_, _, _):
        pass
    [kept] = state.iterdir()
    async with serving(state_dir=str(state)):
        os.utime(kept, (0, 0))
        async with asyncio.timeout(PATIENCE_S):
            while kept.exists():  # noqa: ASYNC110 - a folder tells of nothing
                await asyncio.sleep(0.02)

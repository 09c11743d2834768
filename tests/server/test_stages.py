"""A shared room is watched by whoever may, who see what is said and can change nothing of it."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from talking import PATIENCE_S, empty, pcm, talking
from websockets.exceptions import ConnectionClosed, InvalidStatus

from streamer.protocol import Refusal
from streamer.server import stages
from streamer.server.auth import Access, new_token
from streamer.server.config import ServerConfig
from streamer.server.stages import Stage, Stages

OWNER, OTHER = Access("kitchen", frozenset({"stream"})), Access("hall", frozenset({"stream"}))
DISPLAY, BOSS = Access("display", frozenset({"watch"})), Access("boss", frozenset({"admin"}))


@contextlib.asynccontextmanager
async def watched(server):
    """A session that is shared as the studio, and whoever watches it, once both are told so."""
    async with talking(server) as talk, talking(server) as viewer:
        await talk.start()
        await talk.say(type="share", room="studio")
        await talk.next()
        await viewer.say(type="watch", room="studio")
        await viewer.next()
        yield talk, viewer


async def test_a_viewer_sees_the_same_events_those_of_before_as_well(server):
    async with talking(server) as talk, talking(server) as early, talking(server) as late:
        await talk.start(stats_interval=0.2, windows=True)
        await talk.say(type="share", room="studio", request=3)
        assert await talk.next() == {"type": "shared", "room": "studio", "watchers": 0, "request": 3}
        await early.say(type="watch", room="studio")
        assert await early.next() == {"type": "watching", "version": 1, "room": "studio", "events": 0}
        await talk.socket.send(pcm(3.0))
        await talk.say(type="flush")
        await talk.until("flushed")
        await late.say(type="watch", room="studio")
        said = len(talk.events)
        assert (await late.next())["events"] == said > 0
        await early.until("stats")
        await talk.socket.send(pcm(2.0, seed=1))
        await talk.say(type="end")
        await talk.until("goodbye")
        for viewer in (early, late):
            assert (await viewer.until("goodbye"))["reason"] == "ended"
            assert viewer.events == talk.events
    await empty(server)
    assert server.admission.connections == 0
    with pytest.raises(Refusal):
        server.rooms.stages.find("studio", BOSS)


@pytest.mark.parametrize(
    "message",
    ['{"type":"end"}', '{"type":"share","room":"x"}', '{"type":"speakers","action":"list"}', "{", b"\0\0"],
    ids=["end", "share", "speakers", "broken", "audio"],
)
async def test_a_viewer_may_ask_for_a_sign_of_life_and_nothing_else(server, message):
    async with watched(server) as (talk, viewer):
        await viewer.say(type="ping", request=4)
        assert await viewer.next() == {"type": "pong", "request": 4}
        await viewer.socket.send(message)
        error = await viewer.next()
        assert (error["code"], error["fatal"]) == ("wrong_order", True)
        with pytest.raises(ConnectionClosed):
            await viewer.next()
        await talk.say(type="end")
        assert (await talk.until("goodbye"))["reason"] == "ended"


async def test_a_room_that_is_not_shared_cannot_be_watched(server):
    async with talking(server) as talk, talking(server) as viewer:
        ready = await talk.start()
        await viewer.say(type="watch", room=ready["session"])
        assert (await viewer.next())["code"] == "unknown_session"


async def test_who_may_watch_is_said_by_their_token(serving, tmp_path):
    made = {name: new_token(name, scopes) for name, scopes in
            {"kitchen": ["stream"], "hall": ["stream"], "display": ["watch"], "clerk": ["enroll"]}.items()}  # fmt: skip
    (tmp_path / "tokens").write_text("\n".join(line for _, line in made.values()))
    async with serving(token_file=str(tmp_path / "tokens")) as server, talking(server) as talk:
        await talk.start(token=made["kitchen"][0])
        await talk.say(type="share", room="studio")
        await talk.next()
        answers = {}
        for name in ("kitchen", "hall", "display", "clerk", None):
            async with talking(server) as viewer:
                token = {} if name is None else {"token": made[name][0]}
                await viewer.say(type="watch", room="studio", **token)
                message = await viewer.next()
                answers[name] = message.get("code", message["type"])
        assert answers == {
            "kitchen": "watching", "hall": "unknown_session", "display": "watching", "clerk": "forbidden",
            None: "unauthorized",
        }  # fmt: skip
        # A token that may only watch does not stream.
        async with talking(server) as viewer:
            assert (await viewer.start(token=made["display"][0]))["code"] == "forbidden"
        # Nor does one open the room from a page of another origin.
        with pytest.raises(InvalidStatus):
            async with talking(server, origin="https://evil.example"):
                pass


async def test_a_room_is_one_clients_and_its_next_session_goes_on_in_it(serving, tmp_path):
    made = {name: new_token(name, ["stream"]) for name in ("kitchen", "hall")}
    (tmp_path / "tokens").write_text("\n".join(line for _, line in made.values()))
    async with (
        serving(token_file=str(tmp_path / "tokens")) as server,
        talking(server) as first,
        talking(server) as second,
        talking(server) as stranger,
        talking(server) as viewer,
    ):
        for talk, name in ((first, "kitchen"), (stranger, "hall"), (second, "kitchen")):
            await talk.start(token=made[name][0])
        await first.say(type="share", room="studio")
        await first.next()
        await viewer.say(type="watch", room="studio", token=made["kitchen"][0])
        await viewer.next()
        await stranger.say(type="share", room="studio")
        error = await stranger.next()
        assert (error["code"], error["fatal"]) == ("conflict", False)
        await second.say(type="share", room="studio")
        assert (await second.next())["type"] == "shared"
        assert (await viewer.until("goodbye"))["reason"] == "replaced"
        # The first session's end does not close the room that the second one has by now.
        await first.say(type="end")
        await first.until("goodbye")
        assert server.rooms.stages.find("studio", OWNER)


async def test_what_is_kept_for_those_who_come_late_is_bounded(monkeypatch):
    stage = Stage("studio", "kitchen", ServerConfig(), lambda: 0.0)
    for number in range(stages.HISTORY_EVENTS + 500):
        stage.show(str(number), keep=True)
        stage.show("passing", keep=False)
    assert len(stage._history) == stages.HISTORY_EVENTS
    assert stage._history[-1] == str(stages.HISTORY_EVENTS + 499)
    for _ in range(100):
        stage.show("x" * (stages.HISTORY_SIZE // 10), keep=True)
    assert sum(map(len, stage._history)) == stage._size <= stages.HISTORY_SIZE


def test_those_who_may_not_watch_do_not_learn_whether_the_room_is_there():
    rooms = Stages(ServerConfig(), lambda: 0.0)
    rooms.open("studio", OWNER)
    refusals = []
    for name, access in (("studio", OTHER), ("attic", OTHER)):
        with pytest.raises(Refusal) as refusal:
            rooms.find(name, access)
        refusals.append((refusal.value.code, refusal.value.message.replace(name, "")))
    assert refusals[0] == refusals[1]
    assert {rooms.find("studio", access) for access in (OWNER, DISPLAY, BOSS)} == {rooms.find("studio", OWNER)}


async def test_viewers_are_so_many_at_most_and_one_that_does_not_read_holds_nobody_up(serving):
    async with (
        serving(max_watchers=2, send_queue_bytes=1 << 12, send_timeout_s=0.5) as server,
        contextlib.AsyncExitStack() as stack,
        talking(server) as talk,
    ):
        await talk.start(stats_interval=0)
        await talk.say(type="share", room="studio")
        await talk.next()
        viewers = [await stack.enter_async_context(talking(server)) for _ in range(3)]
        answers = []
        for viewer in viewers:
            await viewer.say(type="watch", room="studio")
            answers.append((await viewer.next())["type"])
        assert answers == ["watching", "watching", "error"]
        deaf = viewers[0]
        deaf.socket.transport.pause_reading()
        stage = server.rooms.stages.find("studio", BOSS)
        event = {"type": "speech_start", "time": 1.0, "sample": 16000, "decided_sample": 16000, "reason": "r" * 900}
        [room] = server.rooms
        async with asyncio.timeout(PATIENCE_S):
            while stage.watchers > 1:
                room.emit(0, [event] * 2)
                for viewer in (talk, viewers[1]):
                    while len(viewer.events) < room.session.replay.last:
                        await viewer.next()
        assert viewers[1].events == talk.events


async def test_a_server_that_stops_sends_viewers_away_with_a_time_to_come_back(server):
    async with watched(server) as (_, viewer):
        draining = asyncio.create_task(server.drain())
        goodbye = await viewer.until("goodbye")
        assert (goodbye["reason"], goodbye["retry_after"] > 0) == ("draining", True)
        await draining

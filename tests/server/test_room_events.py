"""A shared room over server-sent events: what a viewer over a WebSocket sees."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
from asking import asking
from talking import PATIENCE_S, empty, pcm, talking

from streamer.server import stages
from streamer.server.auth import new_token

PATH = "/v1/rooms/studio/events"


async def follow(client, **headers: str) -> list[dict]:
    """The room's messages to the end; those with a number have it as their id."""
    said, number = [], None
    async with client.stream(
        "GET", PATH, headers={key.replace("_", "-"): value for key, value in headers.items()}
    ) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        async for line in answer.aiter_lines():
            if line.startswith("id: "):
                number = int(line[4:])
            elif line.startswith("data: "):
                said.append(json.loads(line[6:]))
                assert said[-1].get("id") == number
            elif not line:
                number = None
    return said


async def test_who_follows_a_room_hears_all_of_it_and_after_a_break_what_is_new(server):
    async with talking(server) as talk, asking(server) as client:
        await talk.start(windows=True, stats_interval=0)
        assert (await client.get(PATH)).status_code == 404
        await talk.say(type="share", room="studio")
        await talk.next()
        await talk.socket.send(pcm(3.0))
        await talk.say(type="flush")
        await talk.until("flushed")
        before = len(talk.events)
        one, other = asyncio.create_task(follow(client)), asyncio.create_task(follow(client, Last_Event_ID="2"))
        async with asyncio.timeout(PATIENCE_S):
            while server.rooms.stages._stages["studio"].watchers < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await talk.socket.send(pcm(2.0, seed=1))
        await talk.say(type="end")
        await talk.until("goodbye")
        assert [event for event in await one if "id" in event] == talk.events
        assert [event["id"] for event in await other if "id" in event] == [event["id"] for event in talk.events[2:]]
        assert (await one)[-1]["type"] == "goodbye"
        # What comes first says how much of it is of before: of what a viewer has not yet.
        assert (await one)[0] == {"type": "watching", "version": 1, "room": "studio", "events": before}
        assert (await other)[0]["events"] == before - 2 > 0
    await empty(server)
    async with asyncio.timeout(PATIENCE_S):
        while server.admission.connections:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_who_leaves_watches_no_more_and_a_stopping_server_says_goodbye(server):
    async with talking(server) as talk, asking(server) as client:
        await talk.start()
        await talk.say(type="share", room="studio")
        await talk.next()
        stage = server.rooms.stages._stages["studio"]
        async with client.stream("GET", PATH) as answer:
            assert stage.watchers == 1
            assert answer.status_code == 200
        async with asyncio.timeout(PATIENCE_S):
            while stage.watchers:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        following = asyncio.create_task(follow(client))
        async with asyncio.timeout(PATIENCE_S):
            while not stage.watchers:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await server.drain()
        assert (await following)[-1]["reason"] == "draining"
        assert (await client.get(PATH)).status_code == 503


async def test_only_whoever_may_watch_is_told_of_a_room(serving, tmp_path):
    made = {name: new_token(name, [scope]) for name, scope in
            {"owner": "stream", "hall": "stream", "display": "watch", "clerk": "enroll"}.items()}  # fmt: skip
    (tmp_path / "tokens").write_text("\n".join(line for _, line in made.values()))
    async with serving(token_file=str(tmp_path / "tokens"), max_watchers=1) as server, talking(server) as talk:
        await talk.start(token=made["owner"][0])
        await talk.say(type="share", room="studio")
        await talk.next()
        answers = {}
        for name, (token, _) in made.items():
            async with asking(server, token) as client, client.stream("GET", PATH) as answer:
                answers[name] = answer.status_code
                if name == "owner":
                    assert (await client.get(PATH)).json()["code"] == "busy"
            async with asyncio.timeout(PATIENCE_S):
                while server.rooms.stages._stages["studio"].watchers:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        assert answers == {"owner": 200, "hall": 404, "display": 200, "clerk": 403}
        async with asking(server) as client:
            assert (await client.get(PATH)).status_code == 401


async def test_a_feed_that_is_not_read_ends_with_a_goodbye():
    feed = stages.Feed(100)
    for _ in range(20):
        feed.put('{"type":"speech_start"}')
    last = await feed.next()
    assert last is not None
    assert json.loads(last)["reason"] == "slow_reader"
    assert await feed.next() is None


async def test_a_viewer_that_does_not_read_holds_nobody_up(serving, monkeypatch):
    monkeypatch.setattr(stages, "HISTORY_SIZE", 1 << 12)
    async with serving(send_timeout_s=0.5, send_queue_bytes=1 << 12) as server, talking(server) as talk:
        await talk.start(windows=True, embeddings=True, stats_interval=0, step=0.1)
        await talk.say(type="share", room="studio")
        await talk.next()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1)
        writer.write(f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        async with asyncio.timeout(PATIENCE_S):
            while not server.rooms.stages._stages["studio"].watchers:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        for second in range(8):
            await talk.socket.send(pcm(1.0, second))
        await talk.say(type="end")
        async with asyncio.timeout(PATIENCE_S):
            await talk.until("goodbye")
        with contextlib.suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()
        del reader
    with pytest.raises(KeyError):
        server.rooms.stages._stages["studio"]

"""A second screen shows one room to whoever may watch, and takes nothing from anybody."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket

import numpy as np
import pytest
from asking import asking, wav
from screen import SEATS, Saying, at, showing
from talking import PATIENCE_S, talking
from websockets.exceptions import ConnectionClosed, InvalidStatus

from streamer.cli.beforehand import check_port
from streamer.engine.window import Step
from streamer.errors import ConfigurationError
from streamer.models.architecture import Architecture
from streamer.server.auth import new_token
from streamer.server.secondscreen import room_name
from streamer.speakers.events import GapEvent, Notice, Overload, Renamed


@contextlib.asynccontextmanager
async def tokens(tmp_path):
    """A screen that asks for tokens, and one of each scope."""
    made = {scope: new_token(scope, [scope]) for scope in ("stream", "enroll", "watch", "admin")}
    (tmp_path / "tokens").write_text("\n".join(line for _, line in made.values()))
    async with showing(token_file=str(tmp_path / "tokens")) as screen:
        yield screen, {scope: token for scope, (token, _) in made.items()}


async def watch(viewer, room: str = "Weekly", **token: str) -> dict:
    await viewer.say(type="watch", room=room, **token)
    return await viewer.next()


async def followed(client, room: str = "Weekly") -> list[dict]:
    """The room's server-sent events to their end."""
    async with client.stream("GET", f"/v1/rooms/{room}/events") as answer:
        return [json.loads(line[6:]) async for line in answer.aiter_lines() if line.startswith("data: ")]


def a_turn(saying: Saying) -> None:
    saying.starts(1.0)
    saying.names(2.0, 1, "Ada", 0, 1.0)
    saying.closes(6.0, 1, "Ada", 1, 1.0, 5.0)
    saying.ends(6.0)


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Weekly", "Weekly"),
        ("Board meeting, 3 May", "Board-meeting-3-May"),
        ("Küche & Flur", "Kuche-Flur"),
        ("a_b-c", "a_b-c"),
        ("会議", "meeting"),
        ("", "meeting"),
        ("../<b>?room=x#y", "b-room-x-y"),
        ("x" * 63 + " y", "x" * 63),
    ],
)
def test_any_title_makes_a_name_that_an_address_holds(title, name):
    assert room_name(title) == name


async def test_whoever_comes_late_sees_what_the_others_saw_and_every_message_is_the_protocols():
    async with showing("Board meeting") as screen, talking(screen) as early, talking(screen) as late:
        greeting = {"type": "watching", "version": 1, "room": "Board-meeting", "title": "Board meeting"}
        assert await watch(early, "Board-meeting") == {**greeting, "events": 0, "channels": list(SEATS)}
        saying = Saying(screen)
        a_turn(saying)
        about = {"sample": at(7.0), "decided_sample": at(7.0)}
        saying.say(GapEvent(**about, end_sample=at(8.0), reason="packet loss", channel=1))
        saying.say(Overload(**about, skipped=2, channel=1))
        saying.say(Renamed(**about, speaker="Ada", previous="guest-1", channel=None))
        saying.say(Notice.at(at(8.0), "inverted_channels", "Two channels cancel each other."))
        greeted = await watch(late, "Board-meeting")
        assert greeted["events"] == 8
        saying.starts(9.0)
        async with asking(screen) as client:
            following = asyncio.create_task(followed(client, "Board-meeting"))
            async with asyncio.timeout(PATIENCE_S):
                while screen.stage.watchers < 3:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            saying.sink.close(saying.session)
            for viewer in (early, late):
                assert (await viewer.until("goodbye"))["reason"] == "ended"
            heard = await following
        assert early.events == late.events
        assert heard == [{**greeted, "events": 9}, *early.events, late.messages[-1]]
        assert [event["id"] for event in early.events] == list(range(1, 10))
        # A turn that moves says where it is heard best by now; what is of no microphone is of the first.
        assert [event["channel"] for event in early.events] == [0, 0, 1, 0, 1, 1, 0, 0, 0]


async def test_a_live_room_says_how_far_behind_its_screen_is_and_a_recording_does_not():
    def step(second: float, lag_s: float) -> Step:
        return Step(at(second - 0.5), at(second), (), Architecture().grid, 0, np.zeros(0), None, -30.0, lag_s=lag_s)

    async with showing() as screen, talking(screen) as viewer:
        await watch(viewer)
        for sink in (screen.sink(live=True), screen.sink(live=False)):
            saying = Saying(screen, sink)
            gap = {"sample": 0, "decided_sample": at(1.0), "end_sample": at(0.5)}
            saying.say(GapEvent(**gap, channel=0))
            for second, lag_s in ((1.0, 0.02), (1.5, 0.3), (2.0, 0.1), (2.5, 0.1)):
                saying.session.timeline.advance(at(second))
                sink.step(step(second, lag_s), saying.session)
        async with asyncio.timeout(PATIENCE_S):
            await screen.__aexit__()
        await viewer.until("goodbye")
    told = [message for message in viewer.messages if message["type"] == "stats"]
    assert [(one["lag"], one["queue"], one["received"], one["gaps"]) for one in told] == [(0.3, 0.3, at(1.5), 1)]


async def test_nobody_begins_a_session_at_a_second_screen(tmp_path):
    async with tokens(tmp_path) as (screen, made):
        for scope in ("stream", "watch", "admin"):
            for way in ({}, {"resume": "u0GJ5dKZ3sQy1b2kJ8JXbA"}):
                async with talking(screen) as talk:
                    error = await talk.start(token=made[scope], **way)
                    assert (error["code"], error["fatal"]) == ("forbidden", True)
                    assert "only shows the room" in error["message"]
                    assert "streamer serve" in error["change"]
                    with pytest.raises(ConnectionClosed):
                        await talk.next()
        async with talking(screen) as talk:  # who is nobody is told nothing else
            assert (await talk.start())["code"] == "unauthorized"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/identify"),
        ("POST", "/v1/embed"),
        ("GET", "/v1/speakers"),
        ("GET", "/v1/speakers/Ada"),
        ("PUT", "/v1/speakers/Ada"),
        ("PATCH", "/v1/speakers/Ada"),
        ("DELETE", "/v1/speakers/Ada"),
    ],
)
async def test_nobody_uploads_or_changes_anything_at_a_second_screen(method, path):
    async with showing() as screen, asking(screen) as client:
        answer = await client.request(method, path, content=wav(1.0) if method in ("POST", "PUT") else None)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert "streamer serve" in answer.json()["change"]


async def test_who_may_watch_a_second_screen_is_said_by_their_token(tmp_path):
    async with tokens(tmp_path) as (screen, made):
        answers = {}
        for scope, token in {**made, "nobody": None}.items():
            async with talking(screen) as viewer:
                told = await watch(viewer, **({} if token is None else {"token": token}))
                answers[scope] = told.get("code", told["type"])
            async with asking(screen, token) as client, client.stream("GET", "/v1/rooms/Weekly/events") as answer:
                assert (answer.status_code == 200) == (answers[scope] == "watching")
        assert answers == {
            "stream": "unknown_session", "enroll": "forbidden", "watch": "watching", "admin": "watching",
            "nobody": "unauthorized",
        }  # fmt: skip
        # What the meeting is called is theirs to know, too.
        async with asking(screen) as client:
            for path in ("/", "/overlay"):
                told = await client.get(path)
                assert told.status_code == 404
                assert "?room=NAME" in told.text
                assert "Weekly" not in told.text
        async with asking(screen, made["watch"]) as client:
            assert (await client.get("/")).headers["Location"] == "?room=Weekly"


async def test_pages_of_elsewhere_see_nothing_of_a_second_screen():
    async with showing(origins=("https://wall.example",)) as screen:
        with pytest.raises(InvalidStatus):
            async with talking(screen, origin="https://evil.example"):
                pass
        async with talking(screen, origin="https://wall.example") as viewer:
            assert (await watch(viewer))["type"] == "watching"
        async with asking(screen) as client:
            for path in ("/v1/rooms/Weekly/events", "/"):
                # A page whose name was made to point to this machine.
                rebound = await client.get(path, headers={"Host": "evil.example", "Origin": "http://evil.example"})
                assert rebound.status_code == 403
                assert "Weekly" not in rebound.text


async def test_on_this_machine_the_bare_address_leads_to_the_room():
    async with showing() as screen, asking(screen, follow_redirects=True) as client:
        for path, url in (("/", screen.page_url), ("/overlay", screen.overlay_url)):
            answer = await client.get(path)
            assert (answer.status_code, str(answer.url)) == (200, url)
        assert (await client.get("/healthz")).text == "ok\n"


async def test_who_leaves_a_second_screen_has_told_everybody_and_holds_no_port():
    async with showing() as screen, talking(screen) as viewer, asking(screen) as client:
        await watch(viewer)
        following = asyncio.create_task(followed(client))
        async with asyncio.timeout(PATIENCE_S):
            while screen.stage.watchers < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        port = screen.port
        await screen.__aexit__()
        assert (await viewer.until("goodbye"))["reason"] == "ended"
        with pytest.raises(ConnectionClosed) as closed:
            await viewer.next()
        assert closed.value.rcvd.code == 1000
        assert (await following)[-1]["reason"] == "ended"
        check_port("127.0.0.1", port)


async def test_a_viewer_that_does_not_read_does_not_keep_the_meeting_from_ending():
    async with showing() as screen, talking(screen) as deaf:
        await watch(deaf)
        deaf.socket.transport.pause_reading()
        a_turn(Saying(screen))
        async with asyncio.timeout(PATIENCE_S):
            await screen.__aexit__()
        assert screen.stage.watchers == 0
        deaf.socket.transport.abort()


async def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_behind():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            async with showing(port=taken.getsockname()[1]):
                pass


async def test_a_token_file_that_is_no_good_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="can't be read"):
        async with showing(token_file=str(tmp_path / "none")):
            pass

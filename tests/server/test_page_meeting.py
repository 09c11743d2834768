"""The page of a meeting: whoever looks sees the turns as they come, and at which microphone; and nothing to press."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from browser import CHROMIUM, browsing, looked_at, microphone, picture, unreachable
from playwright.async_api import Page, expect
from screen import SEATS, Saying, showing

from streamer.audio.sources import IteratorSource
from streamer.demo import ENROLMENT
from streamer.demo.room import seats
from streamer.engine.engine import Engine
from streamer.meeting.meeting import Meeting
from streamer.server.auth import new_token
from streamer.server.config import ServerConfig
from streamer.server.secondscreen import SecondScreen
from streamer.speakers.library import Speakers

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")

WAIT_MS = 60_000
#: Carol has said her first sentence, and angus half of his.
CAROL_S, BOTH_S = 8.0, 11.5


class Paced:
    """Sound that comes as it is let: both microphones up to the same second."""

    def __init__(self, sounds: np.ndarray) -> None:
        self.sources = [IteratorSource(self._blocks(sound)) for sound in sounds]
        self._up_to = 0.0
        self._moved = asyncio.Condition()

    async def let(self, second: float) -> None:
        async with self._moved:
            self._up_to = second
            self._moved.notify_all()

    async def _blocks(self, sound: np.ndarray):
        for number, block in enumerate(np.array_split(sound, len(sound) // 8_000)):
            async with self._moved:
                await self._moved.wait_for(lambda end=(number + 1) / 2: end <= self._up_to)
            yield block


async def turns(page: Page) -> list[list[str]]:
    """Whose, and at which microphone."""
    rows = await page.locator("#turns li").all()
    return [[await row.locator(part).inner_text() for part in (".name", ".seat")] for row in rows]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_meeting_is_on_the_page_while_it_lasts_with_its_seats(tmp_path, scheme):
    sounds = seats(["carol", "angus"])[:, : 14 * 16_000]
    paced = Paced(sounds)
    with Speakers("default", "sqlite://") as speakers:
        for name in ("carol", "angus"):
            speakers.enroll(name, ENROLMENT[name], force=True)
        async with (
            showing("Board meeting") as screen,
            Engine(speakers.model) as engine,
            browsing(microphone(tmp_path / "m.wav", 1.0), color_scheme=scheme) as (context, problems),
        ):
            meeting = Meeting(speakers, SEATS, live=False, sinks=[screen.sink()])
            stop = asyncio.Event()
            held = asyncio.create_task(meeting.run_room(engine, paced.sources, stop))
            early, late, overlay = [await context.new_page() for _ in range(3)]
            await early.goto(screen.url)  # the bare address leads to the room
            await expect(early.locator("#room-name")).to_have_text("Board meeting", timeout=WAIT_MS)
            await expect(early.locator("#status-text")).to_have_text("Watching", timeout=WAIT_MS)
            await overlay.goto(screen.overlay_url)
            await paced.let(CAROL_S)
            await expect(early.locator("#turns .name")).to_have_text(["carol"], timeout=WAIT_MS)
            await expect(early.locator("#turns .seat")).to_have_text(["door"], timeout=WAIT_MS)
            await paced.let(BOTH_S)
            for page in (early, late):
                if page is late:
                    await late.goto(screen.page_url)
                await expect(page.locator("#now-name")).to_have_text("angus", timeout=WAIT_MS)
                await expect(page.locator("#now-detail")).to_contain_text("window", timeout=WAIT_MS)
                assert await turns(page) == [["carol", "door"], ["angus", "window"]]
            await expect(overlay.locator("#name")).to_have_text("angus", timeout=WAIT_MS)
            for selector in ("#listen", "#open-file", "#enroll", "#share", "#microphone", ".play"):
                assert await early.locator(selector).locator("visible=true").count() == 0, selector
            assert await unreachable(early) == []
            await looked_at(early, f"meeting-{scheme}", "#now-name", "#timeline", "#turns", "#talk", ".seat")
            await early.set_viewport_size({"width": 1280, "height": 900})
            await picture(early, f"meeting-{scheme}-1280")
            assert problems == []
            stop.set()
            await held
            await expect(early.locator("#status-text")).to_have_text("Waiting for the room", timeout=WAIT_MS)
            await expect(early.locator("#summary-said")).to_contain_text("2 voices", timeout=WAIT_MS)
            await expect(early.locator("#interruptions-none")).to_have_text(
                "Nobody, by the turns that were measured.", timeout=WAIT_MS
            )
            await expect(early.locator("#notice")).to_be_hidden(timeout=WAIT_MS)
            await looked_at(early, f"meeting-over-{scheme}", "#summary-said", "#timeline", "#turns")
            minutes = await saved(early, "html")
            assert minutes.count("<td>door</td>") == minutes.count("<td>window</td>") == 1
            await screen.__aexit__()
            # There is nobody any more, and what was there stays.
            await expect(early.locator("#status-text")).to_have_text("Waiting for the room", timeout=WAIT_MS)
            assert await turns(early) == [["carol", "door"], ["angus", "window"]]


async def saved(page: Page, kind: str) -> str:
    async with page.expect_download() as downloading:
        await page.click(f"#files [data-kind={kind}]")
    return (await (await downloading.value).path()).read_text()


async def test_a_turn_that_moves_to_another_microphone_stays_one_turn(tmp_path):
    async with showing() as screen, browsing(microphone(tmp_path / "m.wav", 1.0)) as (context, problems):
        page = await context.new_page()
        await page.goto(screen.page_url)
        await expect(page.locator("#status-text")).to_have_text("Watching", timeout=WAIT_MS)
        saying = Saying(screen)
        saying.starts(1.0)
        saying.names(2.0, 1, "Ada", 0, 1.0)
        await expect(page.locator("#now-detail")).to_contain_text("door", timeout=WAIT_MS)
        saying.names(4.5, 1, "Ada", 1, 1.0, final=True)
        await expect(page.locator("#now-detail")).to_contain_text("window", timeout=WAIT_MS)
        saying.closes(7.0, 1, "Ada", 1, 1.0, 6.0)
        saying.ends(7.0)
        await expect(page.locator("#now-name")).to_have_text("Silence", timeout=WAIT_MS)
        await expect(page.locator("#turns .seat")).to_have_text(["window"], timeout=WAIT_MS)
        await expect(page.locator("#turns li[data-lasting='true']")).to_have_count(0, timeout=WAIT_MS)
        await expect(page.locator("#talk .time")).to_have_text("0:05 · 100 %", timeout=WAIT_MS)
        assert problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_two_at_once_at_two_microphones_are_both_shown_until_each_ends(tmp_path, scheme):
    async with (
        showing() as screen,
        browsing(microphone(tmp_path / "m.wav", 1.0), color_scheme=scheme) as (context, problems),
    ):
        page, overlay = [await context.new_page() for _ in range(2)]
        await page.goto(screen.page_url)
        await overlay.goto(screen.overlay_url)
        await expect(overlay.locator("body")).to_have_attribute("data-state", "watching", timeout=WAIT_MS)
        await expect(page.locator("#status-text")).to_have_text("Watching", timeout=WAIT_MS)
        now, lit = page.locator("#now-name"), page.locator("#talk [data-now='true'] .label")
        saying = Saying(screen)
        saying.starts(1.0)
        saying.names(2.0, 1, "Ada", 0, 1.0)
        await expect(now).to_have_text("Ada", timeout=WAIT_MS)
        saying.names(4.0, 2, "Grace", 1, 3.0)
        await expect(now).to_have_text("Grace and Ada", timeout=WAIT_MS)
        await expect(page.locator("#now-label")).to_have_text("Speaking at once", timeout=WAIT_MS)
        await expect(page.locator("#now-detail")).to_have_text("window · door", timeout=WAIT_MS)
        await expect(lit).to_have_text(["Ada", "Grace"], timeout=WAIT_MS)
        await expect(overlay.locator("#name")).to_have_text("Grace Ada", timeout=WAIT_MS)
        # A microphone that hears the other as well adds nobody, and a later word of a turn takes nobody's place.
        saying.together(4.5, "Grace", "Ada", 1, 3.5)
        saying.names(5.0, 1, "Ada", 0, 1.0, final=True)
        await expect(page.locator("#clock")).to_have_text("0:05", timeout=WAIT_MS)
        await expect(page.locator("#turns li .sure")).to_have_count(2, timeout=WAIT_MS)
        await expect(now).to_have_text("Grace and Ada", timeout=WAIT_MS)
        await looked_at(page, f"meeting-two-{scheme}", "#now-name", "#turns")
        saying.closes(7.0, 2, "Grace", 1, 3.0, 6.0)
        await expect(now).to_have_text("Ada", timeout=WAIT_MS)
        await expect(page.locator("#now-detail")).to_contain_text("door", timeout=WAIT_MS)
        await expect(overlay.locator("#name")).to_have_text("Ada", timeout=WAIT_MS)
        saying.closes(9.0, 1, "Ada", 0, 1.0, 8.0)
        saying.ends(9.0)
        await expect(now).to_have_text("Silence", timeout=WAIT_MS)
        assert await turns(page) == [["Ada", "door"], ["Grace", "window"]]
        assert problems == []


async def test_names_of_seats_and_rooms_are_text_and_never_markup(tmp_path):
    hostile = "<img src=x onerror=alert(1)>" + "W" * 80
    async with (
        SecondScreen(ServerConfig(port=0), hostile, [hostile, hostile]) as screen,
        browsing(microphone(tmp_path / "m.wav", 1.0)) as (context, problems),
    ):
        page = await context.new_page()
        await page.goto(screen.page_url)
        saying = Saying(screen)
        saying.starts(1.0)
        saying.names(2.0, 1, hostile, 0, 1.0)
        await expect(page.locator("#turns .seat")).to_have_text([hostile], timeout=WAIT_MS)
        await expect(page.locator("#room-name")).to_have_text(hostile, timeout=WAIT_MS)
        assert await page.locator("main img").count() == 0
        await looked_at(page, "meeting-long", "#now-name", "#turns .seat")
        assert problems == []


async def test_a_telephone_opens_the_page_by_a_link_that_holds_its_token(tmp_path):
    token, line = new_token("phones", ["watch"])
    (tmp_path / "tokens").write_text(line)
    async with (
        showing(token_file=str(tmp_path / "tokens")) as screen,
        browsing(microphone(tmp_path / "m.wav", 1.0)) as (context, _),
    ):
        page, locked = [await context.new_page() for _ in range(2)]
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.goto(f"{screen.page_url}#token={token}")
        await expect(page.locator("#status-text")).to_have_text("Watching", timeout=WAIT_MS)
        assert token not in page.url
        assert not any(token in url for url in asked if "#" not in url)
        await locked.goto(screen.page_url)
        await expect(locked.locator("#token-dialog")).to_be_visible(timeout=WAIT_MS)
        await locked.fill("#token-input", token)
        await locked.keyboard.press("Enter")
        await expect(locked.locator("#status-text")).to_have_text("Watching", timeout=WAIT_MS)


async def test_where_channels_are_streams_of_their_own_turns_are_kept_apart(server, tmp_path):
    """What a session with split channels says of turn 1 of one channel is not about that of another."""
    end = {"type": "turn_end", "turn": 1, "start_sample": 0, "sample": 32_000, "decided_sample": 40_000}
    events = [
        end | {"channel": channel, "speaker": name, "confidence": 0.8} for channel, name in enumerate(("Ada", "Grace"))
    ]
    count = """async ([events, seats]) => {
      const { Talk } = await import("./talk.js");
      const talk = new Talk(seats);
      for (const event of events) talk.take(event);
      return talk.spans().map(({ turn, speaker }) => [speaker, talk.seat(turn)]);
    }"""
    async with browsing(microphone(tmp_path / "m.wav", 1.0)) as (context, _):
        page = await context.new_page()
        await page.goto(server.url)
        assert await page.evaluate(count, [events, []]) == [["Ada", ""], ["Grace", ""]]
        assert await page.evaluate(count, [events, ["door", "window"]]) == [["Grace", "window"]]

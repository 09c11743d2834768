"""A transcript on the page: words that a client sends stand beside the turns in which they were said."""

from __future__ import annotations

import pytest
from browser import CHROMIUM, browsing, microphone, picture, violations
from playwright.async_api import expect
from talking import empty, pcm, talking

from streamer.audio.files import read_audio
from streamer.demo import CONVERSATION
from streamer.engine.engine import Engine

WAIT_MS = 60_000
FIRST, SECOND = "Good morning to <b>everybody</b>.", "Shall we begin?"


async def test_words_become_events_in_their_order_and_those_that_cannot_be_are_refused(server):
    async with talking(server) as talk, talking(server) as viewer:
        await talk.start(channels=2, channel_mode="split", stats_interval=0)
        await talk.say(type="share", room="studio")
        await talk.next()
        await talk.socket.send(pcm(1.0))
        await talk.say(type="words", text=f"  {FIRST} ", start_sample=8000, end_sample=16_000, channel=1)
        said = await talk.until("said")
        assert (said["text"], said["channel"]) == (FIRST, 1)
        assert (said["sample"], said["end_sample"], said["time"]) == (8000, 16_000, 0.5)
        for wrong in (
            {"text": "x", "start_sample": 9, "end_sample": 8},
            {"text": "x", "start_sample": 0, "end_sample": 1, "channel": 2},
            {"text": " ", "start_sample": 0, "end_sample": 1},
            {"text": "x", "start_sample": -1, "end_sample": 1},
            {"text": "x" * 1001, "start_sample": 0, "end_sample": 1},
        ):
            await talk.say(type="words", **wrong)
            assert (await talk.until("error"))["code"] == "invalid_message"
        await viewer.say(type="watch", room="studio")
        assert (await viewer.until("said")) == said
        await talk.say(type="end")
        await talk.until("goodbye")
        await talk.socket.close()
    await empty(server)


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
async def test_a_viewer_reads_what_was_said_under_the_turn_in_which_it_was(serving, tmp_path):
    samples = read_audio(CONVERSATION).mono_16k()[: 30 * 16_000]
    audio = (samples * 32767).astype("<i2").tobytes()
    async with (
        serving(Engine("default", device="cpu", threads=1), burst_s=60.0) as server,
        browsing(microphone(tmp_path / "m.wav", 1.0)) as (context, problems),
        talking(server) as talk,
    ):
        await talk.start(stats_interval=0)
        await talk.say(type="share", room="studio")
        await talk.next()
        viewer = await context.new_page()
        await viewer.goto(f"{server.url}?room=studio")
        await expect(viewer.locator("#status-text")).to_have_text("Watching", timeout=WAIT_MS)
        await talk.socket.send(audio)
        await talk.say(type="flush")
        await talk.until("flushed")
        ends = [event for event in talk.events if event["type"] == "turn_end"]
        first, second = ends[0], next(end for end in ends[1:] if end["speaker"] != ends[0]["speaker"])
        # Late, as recognisers are, and out of order.
        for turn, text in ((second, SECOND), (first, FIRST)):
            middle = (turn["start_sample"] + turn["sample"]) // 2
            await talk.say(type="words", text=text, start_sample=middle - 4000, end_sample=middle + 4000)
        await talk.until("said")
        rows = viewer.locator("#turns li")
        for turn, text in ((first, FIRST), (second, SECOND)):
            row, name = rows.filter(has_text=text), turn["speaker"].replace("guest-", "Guest ")
            await expect(row).to_have_count(1, timeout=WAIT_MS)
            await expect(row.locator(".name")).to_have_text(name, timeout=WAIT_MS)
        assert await violations(viewer) == []
        for width in (320, 1440):
            await viewer.set_viewport_size({"width": width, "height": 900})
            assert await viewer.evaluate("document.documentElement.scrollWidth <= innerWidth")
            await picture(viewer, f"words-{width}")
        assert problems == []

"""The page before anybody listens: who is enrolled, which microphone, and what will happen."""

from __future__ import annotations

import re

import numpy as np
import pytest
from browser import CHROMIUM, browsing, looked_at, microphone, unreachable
from playwright.async_api import expect
from talking import pcm

from streamer.server.auth import new_token
from streamer.speakers.profiles import Exemplar

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")

WAIT_MS = 20_000


async def enrol(server, *names: str) -> None:
    """Some voice under each name."""
    dimension = server.people.everybody.centroids.shape[1]
    for seed, name in enumerate(names):
        voice = np.random.default_rng(seed).normal(size=dimension).astype(np.float32)
        await server.people.add(name, [Exemplar(voice / np.linalg.norm(voice), 12.0, source="test")])


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_says_who_is_enrolled_and_what_will_happen_before_anybody_listens(server, tmp_path, scheme):
    await enrol(server, "Ada", "Grace Hopper", "A" * 100)
    async with browsing(microphone(tmp_path / "m.wav", 1.0), color_scheme=scheme) as (context, problems):
        page = await context.new_page()
        await page.goto(server.url)
        await expect(page.locator("#people li")).to_have_count(3, timeout=WAIT_MS)
        await expect(page.locator("#people")).to_contain_text("Grace Hopper")
        await expect(page.locator("#people-count")).to_have_text("3")
        await looked_at(page, f"before-{scheme}", "#listen", "#people", "#microphone", "#steps", "#now-name")
        assert await unreachable(page) == []
        # One button is the one to press, and nothing of a session is shown that is not there.
        assert await page.locator("button.primary:visible").count() == 1
        assert await page.locator("#timeline, #turns, #talk").locator("visible=true").count() == 0
        assert len(server.rooms) == 0
        assert problems == []


async def test_nobody_enrolled_is_said_in_words(server, tmp_path):
    async with browsing(microphone(tmp_path / "m.wav", 1.0)) as (context, problems):
        page = await context.new_page()
        await page.goto(server.url)
        await expect(page.locator("#people-empty")).to_contain_text("Nobody yet", timeout=WAIT_MS)
        assert problems == []


async def test_a_microphone_is_picked_and_its_level_seen_before_anything_is_sent(server, tmp_path):
    noise = np.frombuffer(pcm(60.0), "<i2").astype(np.float32) / 32768
    async with browsing(microphone(tmp_path / "m.wav", noise)) as (context, problems):
        page = await context.new_page()
        await page.goto(server.url)
        await expect(page.locator("#meter")).to_be_hidden()  # no microphone is opened unasked
        await page.click("#check")
        await expect(page.locator("#meter-word")).to_have_text("Good", timeout=WAIT_MS)
        await expect(page.locator("#meter")).to_have_attribute("aria-valuenow", re.compile("[4-9][0-9]|100"))
        names = await page.locator("#microphone option").all_text_contents()
        assert len(names) > 1
        assert all(names)
        assert len(server.rooms) == 0
        await page.select_option("#microphone", index=1)
        chosen = await page.locator("#microphone").input_value()
        await page.evaluate(
            """() => {
              const get = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
              navigator.mediaDevices.getUserMedia = (asked) => ((window.asked = asked), get(asked));
            }"""
        )
        await page.click("#listen")
        await expect(page.locator("#status-text")).to_have_text("Live", timeout=WAIT_MS)
        assert await page.evaluate("window.asked.audio.deviceId.exact") == chosen
        await expect(page.locator("#source")).to_be_hidden()
        assert problems == []


async def test_where_tokens_are_asked_for_people_are_shown_once_one_was_given(serving, tmp_path):
    token, line = new_token("kitchen", ["stream"])
    (tmp_path / "tokens").write_text(line)
    async with serving(token_file=str(tmp_path / "tokens")) as server:
        await enrol(server, "Ada")
        async with browsing(microphone(tmp_path / "m.wav", 30.0)) as (context, _):
            page = await context.new_page()
            await page.goto(server.url)
            await expect(page.locator("#people-empty")).to_contain_text("token", timeout=WAIT_MS)
            await page.click("#listen")
            await page.fill("#token-input", token)
            await page.keyboard.press("Enter")
            await expect(page.locator("#status-text")).to_have_text("Live", timeout=WAIT_MS)
            await expect(page.locator("#people")).to_contain_text("Ada", timeout=WAIT_MS)
            await expect(page.locator("#enroll")).to_be_hidden()  # this token may not
            assert token not in page.url

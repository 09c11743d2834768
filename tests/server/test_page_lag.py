"""How late the page is, in a number and in a word."""

from __future__ import annotations

import re

import numpy as np
import pytest
from browser import CHROMIUM, browsing, microphone
from playwright.async_api import expect
from talking import pcm

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")

WAIT_MS = 20_000


async def test_the_page_says_live_or_how_many_seconds_it_is_behind(server, tmp_path):
    noise = np.frombuffer(pcm(60.0), "<i2").astype(np.float32) / 32768
    async with browsing(microphone(tmp_path / "m.wav", noise)) as (context, problems):
        page = await context.new_page()
        await page.goto(server.url)
        await page.click("#listen")
        await expect(page.locator("#lag-word")).to_have_text("live", timeout=WAIT_MS)
        await expect(page.locator("#lag-number")).to_have_text(re.compile(r"^\d+ ms$"))
        [room] = server.rooms
        async with room.channels[0].tracking:  # nothing that is computed gets a name meanwhile
            await expect(page.locator("#lag-word")).to_have_text(re.compile(r"^[2-9] s behind$"), timeout=WAIT_MS)
        await expect(page.locator("#lag-word")).to_have_text("live", timeout=WAIT_MS)
        await page.click("#listen")
        await expect(page.locator("#lag")).to_be_hidden(timeout=WAIT_MS)
        assert problems == []


BEHIND = """async (cases) => {
  const { behind } = await import("./lag.js");
  return cases.map(([stats, around]) => behind(stats, around));
}"""


async def test_what_waits_here_what_waits_there_and_silence_are_all_delay(server, tmp_path):
    cases = [
        ({"lag": 0.02, "queue": 0.4}, {}, 0.02),  # a part of a step always waits
        ({"lag": 0.02, "queue": 3.5}, {"step": 0.5}, 3.0),
        ({"lag": 0.02, "queue": 0.4}, {"unsent": 4.0}, 4.02),
        ({"lag": 2.0, "queue": 0.4}, {}, 2.0),
        ({"lag": 0.02, "queue": 0.0}, {"silent": 8.0, "interval": 2}, 5.0),
        ({"lag": 0.02, "queue": 0.0}, {"silent": 1.9, "interval": 2}, 0.02),
    ]
    async with browsing(microphone(tmp_path / "m.wav", 1.0)) as (context, _):
        page = await context.new_page()
        await page.goto(server.url)
        found = await page.evaluate(BEHIND, [case[:2] for case in cases])
    assert found == pytest.approx([seconds for *_, seconds in cases])

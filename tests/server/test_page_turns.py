"""The turns on the page: whose, when, how sure; heard again, put right, filtered; and a time line to move about in."""

from __future__ import annotations

import re

import numpy as np
import pytest
import soundfile
from browser import CHROMIUM, browsing, looked_at, microphone
from playwright.async_api import Page, expect
from scipy.signal import correlate

from streamer.demo import CONVERSATION, ENROLMENT
from streamer.engine.engine import Engine
from streamer.speakers.library import Speakers

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")

WAIT_MS = 20_000
#: Keeps what is played next.
KEEP_PLAYED = """() => {
  const make = AudioContext.prototype.createBuffer;
  AudioContext.prototype.createBuffer = function (...sizes) {
    return (window.played = make.apply(this, sizes));
  };
}"""


async def view(page: Page) -> tuple[float, float]:
    """What the time line shows, in seconds."""
    left, right = await page.evaluate("(({ from, to }) => [from, to])(document.getElementById('lanes').dataset)")
    return float(left), float(right)


async def listed(page: Page) -> list[str]:
    return await page.locator("#turns .name").all_text_contents()


@pytest.fixture
def talk(tmp_path):
    """Twenty seconds of the bundled conversation, of three people: carol, angus, brian, angus; and time to act in."""
    samples, rate = soundfile.read(CONVERSATION, dtype="float32", stop=20 * 16_000)
    path = tmp_path / "talk.wav"
    soundfile.write(path, np.concatenate([samples, np.zeros(240 * rate, np.float32)]), rate)
    return path


async def test_turns_are_heard_again_put_right_filtered_and_found_on_the_time_line(serving, talk, tmp_path):
    with Speakers("sincnet", "sqlite://") as speakers:
        for name in ("angus", "carol"):
            speakers.enroll(name, ENROLMENT[name])
        known = {profile.name: profile for profile in speakers.store.profiles(speakers.model.fingerprint)}
        async with (
            serving(engine=Engine(speakers.model, device="cpu")) as server,
            browsing(microphone(tmp_path / "m.wav", 60.0), viewport={"width": 1280, "height": 900}) as (
                context,
                problems,
            ),
        ):
            for name, profile in known.items():
                await server.people.add(name, profile.exemplars)
            page = await context.new_page()
            await page.goto(server.url)
            await page.evaluate(KEEP_PLAYED)
            await page.set_input_files("#file", talk)
            await expect(page.locator("#turns li")).to_have_count(4, timeout=20_000 + WAIT_MS)
            assert await listed(page) == ["carol", "angus", "Guest 1", "angus"]
            await expect(page.locator("#turns .sure").first).to_have_text(re.compile(r"\d+ % sure"))
            await a_guest_gets_a_name_of_the_server(page, server)
            for scheme in ("dark", "light"):
                await page.emulate_media(color_scheme=scheme)
                await looked_at(page, f"live-{scheme}", "#now-name", "#listen", "#timeline", "#turns", "#talk", "#lag")
            await page.click("#listen")
            await expect(page.locator("#status-text")).to_have_text("Not connected", timeout=WAIT_MS)
            await a_turn_is_heard_again(page, talk)
            await one_turn_is_put_right(page)
            await only_some_are_shown(page)
            await the_time_line_is_moved_about_in(page)
            await looked_at(page, "turns", "#turns", "#timeline", "#talk", "#filter")
            assert problems == []


async def a_guest_gets_a_name_of_the_server(page: Page, server) -> None:
    """While the session lasts, by the protocol's own message: all that the voice said changes, and it is enrolled."""
    await page.locator("#turns .name", has_text="Guest 1").click()
    await expect(page.locator("#name-title")).to_have_text("Who spoke at 0:12?")
    await expect(page.locator("#name-scope-all")).to_be_checked()
    await page.fill("#name-input", "Brian")
    await page.keyboard.press("Enter")
    await expect(page.locator("#name-dialog")).not_to_be_visible(timeout=WAIT_MS)
    await expect(page.locator("#turns .name", has_text="Brian")).to_have_count(1, timeout=WAIT_MS)
    assert "Brian" in server.people.everybody.names
    await expect(page.locator("#people")).to_contain_text("Brian")


async def a_turn_is_heard_again(page: Page, talk) -> None:
    """What is played is what was said then, and nothing else."""
    button = page.get_by_role("button", name="Hear angus at 0:06")
    await button.click()
    await expect(button).to_have_attribute("aria-pressed", "true")
    heard, rate = await page.evaluate("[[...window.played.getChannelData(0)], window.played.sampleRate]")
    await button.click()
    await expect(button).to_have_attribute("aria-pressed", "false")
    said, _ = soundfile.read(talk, dtype="float32")
    start = round(6.3 * 16_000)
    part = np.interp(np.arange(0, 5, 1 / 16_000), np.arange(len(heard)) / rate, heard)
    # Somewhere about there, to the sample, whatever the browser's rate did to it.
    span = said[start - 16_000 : start + 8 * 16_000]
    match = correlate(span, part, "valid")
    energy = np.sqrt(correlate(span**2, np.ones(len(part)), "valid") * np.sum(part**2))
    assert np.max(match / energy) > 0.95
    # Left alone, it ends by itself.
    await button.click()
    await expect(button).to_have_attribute("aria-pressed", "true")
    await expect(button).to_have_attribute("aria-pressed", "false", timeout=WAIT_MS)


async def one_turn_is_put_right(page: Page) -> None:
    """A turn of somebody enrolled is another's: that one alone, on this page."""
    await page.locator("#turns .name").nth(3).click()
    await expect(page.locator("#name-scope-one")).to_be_checked()
    await looked_at(page, "naming", "#name-dialog", "#name-save", "#name-choices")
    await page.get_by_role("button", name="carol", exact=True).and_(page.locator("#name-choices button")).click()
    await page.keyboard.press("Tab")
    await page.locator("#name-form button.primary").click()
    assert await listed(page) == ["carol", "angus", "Brian", "carol"]
    await expect(page.locator("#turns .sure").nth(3)).to_have_text("put right by hand")
    # All of a voice: under a name that nobody had.
    await page.locator("#turns .name").nth(1).click()
    await page.check("#name-scope-all")
    await page.fill("#name-input", "Agnes <b>")
    await page.keyboard.press("Enter")
    assert await listed(page) == ["carol", "Agnes <b>", "Brian", "carol"]
    assert "Agnes <b>" in await page.locator("#talk .label").all_text_contents()


async def only_some_are_shown(page: Page) -> None:
    await page.locator("#filter button", has_text="carol").click()
    assert await listed(page) == ["carol", "carol"]
    await page.locator("#filter button", has_text="Brian").click()
    assert await listed(page) == ["carol", "Brian", "carol"]
    await page.locator("#filter button", has_text="Everyone").click()
    assert len(await listed(page)) == 4


async def the_time_line_is_moved_about_in(page: Page) -> None:
    """By keyboard, by button, by wheel, by dragging, by the strip below; and a click on a turn plays it."""
    await page.focus("#lanes")
    await page.keyboard.press("0")
    whole = await view(page)
    assert whole[0] == 0
    assert 20 < whole[1] < 80
    await page.keyboard.press("+")
    near = await view(page)
    assert near[1] - near[0] == pytest.approx(whole[1] / 2, abs=0.2)
    for _ in range(6):
        await page.click("#zoom-in")
    near = await view(page)
    assert near[1] - near[0] == pytest.approx(5)
    await page.keyboard.press("Tab")
    await page.focus("#lanes")
    await page.keyboard.press("Home")
    assert (await view(page))[0] == 0
    await page.keyboard.press("ArrowRight")
    assert (await view(page))[0] == pytest.approx(1, abs=0.1)
    box = await page.locator("#timeline").bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + 400, box["y"] + 60)
    await page.mouse.down()
    await page.mouse.move(box["x"] + 100, box["y"] + 60, steps=5)
    await page.mouse.up()
    dragged = await view(page)
    assert dragged[0] == pytest.approx(1 + 5 * 300 / box["width"], abs=0.2)
    await page.mouse.wheel(-10_000, 0)
    await expect(page.locator("#lanes")).to_have_attribute("data-from", "0")
    # Of those who are not in view the lanes stay.
    assert await page.get_attribute("#lanes", "data-lanes") == "carol, Agnes <b>, Brian"
    strip = await page.locator("#strip").bounding_box()
    assert strip is not None
    await page.mouse.click(strip["x"] + strip["width"] * 0.99, strip["y"] + 10)
    assert (await view(page))[1] == pytest.approx(whole[1], abs=0.1)
    await page.focus("#lanes")
    await page.keyboard.press("0")
    await page.mouse.click(box["x"] + box["width"] * 15 / whole[1], box["y"] + 2 * 40 + 27)
    button = page.get_by_role("button", name="Hear Brian at 0:12")
    await expect(button).to_have_attribute("aria-pressed", "true")
    await button.click()


MEMORY = """async ([rate, tone, keep]) => {
  const { Memory } = await import("./audio.js");
  const memory = new Memory(rate, keep);
  let position = 0;
  for (let piece = 0; piece < 250; piece++) {
    const size = Math.round(rate / 10);
    const turn = (2 * Math.PI * tone) / rate;
    const samples = Int16Array.from({ length: size }, (_, i) => 10000 * Math.sin(turn * (position + i)));
    position += size;
    memory.add(samples.buffer);
  }
  const begin = 16000 * 20;
  return {
    rate: memory.rate, begin: memory.begin, blocks: memory.blocks.length, early: memory.has(0, 16000),
    late: memory.has(begin, begin + 8000), after: memory.has(16000 * 30, 16000 * 31),
    heard: [...memory.slice(begin, begin + 8000)],
  };
}"""


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000, 96_000])
async def test_the_sound_that_is_kept_is_the_sound_that_was_heard_and_no_more_than_so_much_of_it(
    server, tmp_path, rate
):
    async with browsing(microphone(tmp_path / "m.wav", 1.0)) as (context, problems):
        page = await context.new_page()
        await page.goto(server.url)
        found = await page.evaluate(MEMORY, [rate, 1_000, 10])
        times = 20 + np.arange(len(found["heard"])) / found["rate"]
        expected = 10_000 * np.sin(2 * np.pi * 1_000 * times)
        assert len(found["heard"]) == pytest.approx(found["rate"] / 2, abs=1)
        # A position is right to half a sample that is kept; 1 kHz turns by 0.2 rad meanwhile.
        assert np.max(np.abs(np.array(found["heard"]) - expected)) < 2_500
        assert np.std(found["heard"]) == pytest.approx(10_000 / np.sqrt(2), rel=0.02)
        # Ten seconds were to be kept, in blocks of ten: what is older is gone.
        assert (found["early"], found["late"], found["after"]) == (False, True, False)
        assert found["blocks"] <= 3
        if rate > 20_000:  # what the lower rate cannot hold must not come back as another tone
            high = await page.evaluate(MEMORY, [rate, 15_000 if rate >= 48_000 else 20_000, 10])
            assert np.std(high["heard"]) < 60
        assert problems == []


TALK = """async (events) => {
  const { Talk } = await import("./talk.js");
  const talk = new Talk();
  for (const event of events) talk.take(event);
  talk.call("guest-1", "Ada");
  const after = {
    type: "unknown", channel: 0, turn: 9, sample: 700000, decided_sample: 710000, speaker: "guest-1", confidence: 0.9,
  };
  talk.take(after);
  const named = talk.spans().map(({ speaker }) => speaker);
  talk.restart(720000, 715000);
  talk.take({ ...after, sample: 730000, decided_sample: 740000 });
  const later = talk.spans().map(({ speaker }) => speaker);
  return { named, later, seen: talk.seen, turns: talk.turns.size, times: talk.times() };
}"""


async def test_a_name_given_by_hand_holds_for_what_the_voice_says_later_and_not_for_another_sessions_guest(
    server, tmp_path
):
    end = {"type": "turn_end", "channel": 0, "turn": 1, "start_sample": 0, "sample": 32000, "decided_sample": 40000}
    events = [{**end, "speaker": "guest-1", "confidence": 0.8}]
    async with browsing(microphone(tmp_path / "m.wav", 1.0)) as (context, _):
        page = await context.new_page()
        await page.goto(server.url)
        found = await page.evaluate(TALK, events)
        assert found["named"] == ["Ada", "Ada"]
        assert found["later"] == ["Ada", "Ada", "guest-1"]
        assert found["seen"] == ["Ada", "guest-1"]
        # A day of turns is counted in full and kept in part.
        said = end | {"speaker": "Grace", "confidence": 1.0}
        many = [
            said
            | {"turn": 10 + n, "start_sample": n * 16_000, "sample": n * 16_000 + 8_000, "decided_sample": n * 16_000}
            for n in range(6_000)
        ]
        found = await page.evaluate(TALK, many)
        assert found["turns"] <= 5_000
        assert dict(map(tuple, found["times"]))["Grace"] == 3_000

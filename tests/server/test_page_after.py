"""The page after a session: it stays, says what was measured, gives guests names, and is taken away as files."""

from __future__ import annotations

import json
import random
import time

import numpy as np
import pytest
import soundfile
from browser import CHROMIUM, browsing, looked_at, microphone, unreachable
from playwright.async_api import Page, expect

from streamer.demo import CONVERSATION, ENROLMENT
from streamer.engine.engine import Engine
from streamer.sinks.minutes import minutes
from streamer.sinks.rttm import Rttm
from streamer.sinks.statistics import statistics
from streamer.sinks.subrip import SubRip
from streamer.sinks.turnfile import TurnFile
from streamer.sinks.webvtt import WebVtt
from streamer.speakers import relabel
from streamer.speakers.library import Speakers
from streamer.speakers.timeline import Span

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")

WAIT_MS = 20_000

FILES = """async ({ spans, end, title, began }) => {
  const { vtt, srt, rttm } = await import("./formats.js");
  const { minutes } = await import("./minutes.js");
  const { statistics } = await import("./statistics.js");
  return {
    vtt: vtt(spans), srt: srt(spans), rttm: rttm(spans, title), found: statistics(spans),
    minutes: minutes(spans, end, title, began === null ? null : new Date(began * 1000)),
  };
}"""


def as_the_page_has_them(spans: list[Span], end: int) -> list[dict]:
    ordered = sorted(spans, key=lambda span: (span.start_sample, span.turn))
    ends = [end if span.end_sample is None else span.end_sample for span in ordered]
    return [
        {"start": span.start_sample, "end": stop, "speaker": span.speaker}
        for span, stop in zip(ordered, ends, strict=True)
        if stop > span.start_sample
    ]


async def compare(page: Page, spans: list[Span], end: int, title: str, began: float | None, tmp_path) -> None:
    """Every file that the page writes of these turns is the one that the sinks write."""
    about = {"spans": as_the_page_has_them(spans, end), "end": end, "title": title, "began": began}
    written = await page.evaluate(FILES, about)
    sinks: dict[str, TurnFile] = {
        "vtt": WebVtt(tmp_path / "a.vtt"),
        "srt": SubRip(tmp_path / "a.srt"),
        "rttm": Rttm(tmp_path / "a.rttm", title),
    }
    for kind, sink in sinks.items():
        assert written[kind] == sink.text(spans, end), kind
    assert written["minutes"] == minutes(spans, end, title, began)
    found = statistics(spans, end)
    assert [talk["speaker"] for talk in written["found"]["talks"]] == [talk.speaker for talk in found.talks]
    counted = {(who, whom): times for who, whom, times in written["found"]["interruptions"]}
    assert counted == found.interruptions
    assert written["found"]["overlap"] == pytest.approx(found.overlap_s)


NAMES = [
    "Ada",
    "guest-1",
    "guest-12",
    "unknown",
    "Grace <i>Hopper</i>",
    "Zoë & 'Bo'",
    "a --> b",
    '\u00c5sa "x"',
    "😀 Li",
    "zz",
]


def turns(seed: int, count: int, step: int) -> tuple[list[Span], int]:
    """Turns of many people, some of them at once, some at places where a millisecond is halved."""
    generator = random.Random(seed)
    spans, sample = [], 0
    for number in range(count):
        sample += generator.randrange(0, 40_000) // step * step
        end = sample + generator.randrange(0, 200_000) // step * step
        spans.append(Span(number, sample, end, generator.choice(NAMES), 0.9, True))
        sample = generator.choice([end, end, max(0, end - 20_000)])
    end = max(span.end_sample or 0 for span in spans) + generator.randrange(0, 16_000)
    return [*spans, Span(count, end - 8_000, None, "Ada", 0.5, False)], end


async def test_the_pages_files_are_those_of_the_sinks(server, tmp_path):
    async with browsing(microphone(tmp_path / "m.wav", 1.0)) as (context, problems):
        page = await context.new_page()
        await page.goto(server.url)
        # A step of 8 samples is half a millisecond: what is rounded there is rounded as Python does it.
        for seed, (count, step) in enumerate([(3, 8), (40, 8), (40, 1), (300, 1), (300, 8), (60, 16_000), (60, 500)]):
            spans, end = turns(seed, count, step)
            await compare(page, spans, end, 'A "talk" & <more>', time.time() if seed % 2 else None, tmp_path)
        await compare(page, [], 16_000, "Silence", None, tmp_path)
        await compare(page, turns(1, 400, 1)[0], 16_000 * 7_500, "Hours", 0.0, tmp_path)
        assert problems == []


FIXED = """async (pairs) => {
  const { fixed } = await import("./formats.js");
  return pairs.map(([value, digits]) => fixed(value, digits));
}"""


async def test_numbers_are_written_as_python_writes_them(server, tmp_path):
    generator = random.Random(1)
    pairs = [(generator.random() * 100, generator.randrange(5)) for _ in range(500)]
    pairs += [(n / 32, d) for n in range(200) for d in range(5)]
    async with browsing(microphone(tmp_path / "m.wav", 1.0)) as (context, _):
        page = await context.new_page()
        await page.goto(server.url)
        assert await page.evaluate(FIXED, pairs) == [f"{value:.{digits}f}" for value, digits in pairs]


@pytest.fixture
def talk(tmp_path):
    """The beginning of the bundled conversation: carol, angus, three seconds of brian; and time to act in."""
    samples, rate = soundfile.read(CONVERSATION, dtype="float32", stop=round(16.2 * 16_000))
    path = tmp_path / "board meeting.wav"
    soundfile.write(path, np.concatenate([samples, np.zeros(60 * rate, np.float32)]), rate)
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_session_stays_its_guests_get_names_and_it_is_taken_away(serving, talk, tmp_path, scheme):
    with Speakers("sincnet", "sqlite://") as speakers:
        speakers.enroll("carol", ENROLMENT["carol"])
        [carol] = speakers.store.profiles(speakers.model.fingerprint)
        async with (
            serving(engine=Engine(speakers.model, device="cpu")) as server,
            browsing(microphone(tmp_path / "m.wav", 60.0), color_scheme=scheme) as (context, problems),
        ):
            await server.people.add("carol", carol.exemplars)
            page = await context.new_page()
            await page.goto(server.url)
            await page.set_input_files("#file", talk)
            await expect(page.locator("#turns li[data-lasting=false]")).to_have_count(3, timeout=18_000 + 2 * WAIT_MS)
            await page.click("#listen")
            await expect(page.locator("#status-text")).to_have_text("Not connected", timeout=WAIT_MS)
            await expect(page.locator("#summary-said")).to_contain_text("3 voices")
            await expect(page.locator("#follows li")).to_have_count(2)
            await expect(page.locator("#follows")).to_contain_text("Guest 1 followed carol")
            await expect(page.locator("#interruptions-none")).to_contain_text("Not measured")
            await looked_at(page, f"after-{scheme}", "#summary", "#files", "#guests", "#turns", "#timeline", "#listen")
            assert await unreachable(page) == []
            await a_guest_is_named_and_the_server_learns_the_voice(page, server)
            await a_guest_is_named_on_this_page_alone(page, server)
            await it_is_taken_away(page, tmp_path)
            assert problems == []


async def a_guest_is_named_and_the_server_learns_the_voice(page: Page, server) -> None:
    """From the sound that the page still has."""
    await page.get_by_role("button", name="Who is Guest 1?").click()
    await page.fill("#name-input", "Angus")
    await expect(page.locator("#name-learn")).to_be_checked()
    await page.click("#name-save")
    await expect(page.locator("#name-dialog")).not_to_be_visible(timeout=WAIT_MS)
    assert "Angus" in server.people.everybody.names
    await expect(page.locator("#people")).to_contain_text("Angus", timeout=WAIT_MS)
    await expect(page.locator("#turns .name", has_text="Angus")).to_have_count(1)


async def a_guest_is_named_on_this_page_alone(page: Page, server) -> None:
    await page.get_by_role("button", name="Who is Guest 2?").click()
    await page.fill("#name-input", "Brian & Co")
    await page.click("#name-save")
    # Three seconds of speech are few: the coach says so, and nothing is stored unless somebody insists.
    await expect(page.locator("#name-problem")).not_to_be_empty(timeout=WAIT_MS)
    await expect(page.locator("#name-save")).to_have_text("Save anyway")
    await page.uncheck("#name-learn")
    await page.focus("#name-input")
    await page.keyboard.press("Enter")
    await expect(page.locator("#name-dialog")).not_to_be_visible()
    assert await page.locator("#turns .name").all_text_contents() == ["carol", "Angus", "Brian & Co"]
    assert set(server.people.everybody.names) == {"carol", "Angus"}
    await expect(page.locator("#guests")).to_be_hidden()


async def it_is_taken_away(page: Page, tmp_path) -> None:
    """Five files; of all of them the turns are those on the page."""
    files = {}
    for kind in ("vtt", "srt", "rttm", "jsonl", "html"):
        async with page.expect_download() as downloading:
            await page.click(f"#files [data-kind={kind}]")
        download = await downloading.value
        assert download.suggested_filename == f"board meeting.{kind}"
        files[kind] = tmp_path / f"taken.{kind}"
        await download.save_as(files[kind])
    told = relabel.read(files["jsonl"])
    assert [span.speaker for span in told.turns] == ["carol", "Angus", "Brian & Co"]
    for kind, sink in (("vtt", WebVtt), ("srt", SubRip)):
        assert files[kind].read_text() == sink(tmp_path / "b").text(told.turns, told.end_sample)
    assert files["rttm"].read_text() == Rttm(tmp_path / "b", "board meeting").text(told.turns, told.end_sample)
    page_text = files["html"].read_text()
    without_date = minutes(told.turns, told.end_sample, "board meeting", time.time())
    assert page_text.split("</h1>")[1].split(", ", 1)[1] == without_date.split("</h1>")[1].split(", ", 1)[1]


HAND = """async ([events, changes]) => {
  const { Talk } = await import("./talk.js");
  const { jsonLines } = await import("./formats.js");
  const talk = new Talk();
  for (const event of events) talk.take(event);
  for (const [place, name] of changes) talk.putRight([...talk.turns.values()][place], name);
  return { lines: jsonLines(talk), spans: talk.spans() };
}"""


async def test_what_is_put_right_by_hand_is_in_the_events_as_relabel_puts_it_right(server, tmp_path):
    """Guests become people, people become guests, and doubts and corrections of what is right are not told."""
    common = {"channel": 0, "reason": "", "confidence": 0.7}
    events = []
    for turn, speakers in enumerate([["Ada"], ["guest-1", "Grace"], ["guest-2"], ["Ada"]]):
        start = turn * 48_000
        at = {"sample": start, "time": start / 16_000, "decided_sample": start + 16_000, "turn": turn, **common}
        first = speakers[0]
        kind = "unknown" if first.startswith("guest") else "speaker"
        events.append({"type": kind, **at, "speaker": first, "score": 0.5, "final": False, "runner_up": None})
        if len(speakers) > 1:
            events.append({"type": "ambiguous", **at, "candidates": speakers})
            correction = {"speaker": speakers[1], "previous": first, "score": 0.6, "final": True}
            events.append({"type": "correction", **at, **correction, "runner_up": None, "margin": None})
        end = {"sample": start + 40_000, "time": start / 16_000 + 2.5, "decided_sample": start + 48_000}
        events.append({"type": "turn_end", **at, **end, "start_sample": start, "speaker": speakers[-1]})
    changes = [[0, "guest-9"], [1, "Ada"], [2, "Zoë"]]
    async with browsing(microphone(tmp_path / "m.wav", 1.0)) as (context, _):
        page = await context.new_page()
        await page.goto(server.url)
        found = await page.evaluate(HAND, [events, changes])
    told = relabel.told([json.loads(line) for line in found["lines"].splitlines()])
    expected = relabel.told(events)
    for place, name in changes:
        expected = relabel.relabelled(expected, [expected.turns[place]], name)
    assert told.turns == expected.turns
    assert [message["type"] for message in told.messages] == [message["type"] for message in expected.messages]
    assert [span["speaker"] for span in found["spans"]] == [span.speaker for span in expected.turns]

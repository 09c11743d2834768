"""The page in a real browser: it hears, it names, it survives a lost connection, and everybody can use it."""

from __future__ import annotations

import asyncio
import base64
import functools
import http.server
import json
import re
import subprocess
import sys
import threading
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import soundfile
from browser import CHROMIUM, browsing, microphone, picture, violations
from network import Proxy
from playwright.async_api import Page, expect
from talking import empty, pcm

from streamer.demo import ENROLMENT
from streamer.engine.engine import Engine
from streamer.models.model import Model
from streamer.speakers.library import Speakers

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")

WAIT_MS = 20_000


@pytest.fixture(scope="module")
def voices():
    """A model that tells voices apart."""
    return Model.from_pretrained("sincnet")


def spoken(name: str, start: float, end: float) -> np.ndarray:
    """Seconds of a bundled recording, at 16 kHz."""
    path = Path(str(files("streamer.demo").joinpath(f"{name}.ogg")))
    samples, rate = soundfile.read(path, dtype="float32")
    assert rate == 16_000
    return samples[int(start * rate) : int(end * rate)]


async def enroll(page: Page, name: str) -> None:
    """Through the dialog, as a person does it."""
    await page.click("#enroll")
    await page.fill("#enroll-name", name)
    await page.keyboard.press("Enter")
    await expect(page.locator("#enroll-seconds")).to_have_text(re.compile(r"^(4\.[4-9]|[5-9]\.)"), timeout=WAIT_MS)
    await page.click("#enroll-go")
    # It says in the dialog, and so in the failure, what the coach has against it.
    await expect(page.locator("#enroll-dialog")).not_to_be_visible(timeout=WAIT_MS)
    await expect(page.locator("#people")).to_contain_text(name, timeout=WAIT_MS)


async def test_two_voices_are_enrolled_and_the_right_names_light_up(serving, voices, tmp_path):
    sound = microphone(
        tmp_path / "microphone.wav",
        *(0.5, spoken("angus", 0.2, 6.0), 2.5, spoken("carol", 0.2, 6.0), 2.5),
        *(spoken("conversation", 6.6, 10.6), 0.8, spoken("conversation", 1.0, 5.8), 8.0),
    )
    async with (
        serving(engine=Engine(voices, device="cpu")) as server,
        Proxy(server.port, cuts=[], split=60_000).running() as port,
        browsing(sound, viewport={"width": 1280, "height": 860}) as (context, problems),
    ):
        requests: list[str] = []
        context.on("request", lambda request: requests.append(request.url))
        page = await context.new_page()
        await page.goto(f"http://127.0.0.1:{port}/")
        await enroll(page, "Angus")
        await expect(page.locator("#now-name")).to_have_text("Silence", timeout=WAIT_MS)
        await enroll(page, "Carol")
        await expect(page.locator("#now-name")).to_have_text("Silence", timeout=WAIT_MS)
        await expect(page.locator("#now-name")).to_have_text("Angus", timeout=WAIT_MS)
        await picture(page, "page-angus")
        await expect(page.locator("#now-name")).to_have_text("Carol", timeout=WAIT_MS)
        await expect(page.locator("#announcer")).to_have_text("Carol speaks")
        await picture(page, "page-carol")
        names = await page.locator("#talk .label").all_text_contents()
        assert {"Angus", "Carol"} <= set(names)
        assert problems == []
        # What the page needs comes from this server, and nothing else is asked for.
        assert {url.split("/")[2] for url in requests if not url.startswith("blob:")} == {f"127.0.0.1:{port}"}


DROP = """({ content, name }) => {
  const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], name, { type: "audio/ogg" }));
  for (const kind of ["dragenter", "dragover", "drop"]) {
    document.body.dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
  }
}"""


@pytest.mark.parametrize("model", ["sincnet", "campplus-live"])
async def test_a_file_that_is_dropped_on_the_page_is_named_as_run_names_it(serving, tmp_path, model):
    """A browser decodes it and plays it at a rate of its own: what is heard is not what `run` reads."""
    talk, store = tmp_path / "talk.ogg", tmp_path / "speakers.db"
    soundfile.write(talk, spoken("conversation", 0, 28), 16_000, format="OGG", subtype="VORBIS")
    with Speakers(model, store) as speakers:
        for name, recording in ENROLMENT.items():
            speakers.enroll(name, recording)
        command = ["run", str(talk), "--model", model, "--store", str(store), "--json"]
        said = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-m", "streamer", *command], capture_output=True
        )
        ran = [json.loads(line) for line in said.stdout.splitlines()]
        expected = [event["speaker"] for event in ran if event["type"] == "turn_end"]
        assert expected == ["carol", "angus", "brian", "angus", "carol"]
        async with (
            serving(engine=Engine(speakers.model, device="cpu")) as server,
            browsing(microphone(tmp_path / "microphone.wav", 1.0)) as (context, problems),
        ):
            page = await context.new_page()
            await page.goto(f"http://127.0.0.1:{server.port}/")
            content = base64.b64encode(talk.read_bytes()).decode()
            await page.evaluate(DROP, {"content": content, "name": talk.name})
            turns = page.locator("#turns li[data-lasting=false] .name")
            await expect(turns).to_have_count(len(expected), timeout=28_000 + WAIT_MS)
            named = await turns.all_text_contents()
    assert named == expected
    assert problems == []


async def test_a_lost_connection_is_shown_and_comes_back(server, tmp_path):
    noise = np.frombuffer(pcm(30.0), "<i2").astype(np.float32) / 32768
    proxy = Proxy(server.port, cuts=[], split=60_000)
    async with (
        proxy.running() as port,
        browsing(microphone(tmp_path / "microphone.wav", noise), viewport={"width": 360, "height": 760}) as (
            context,
            _,
        ),
    ):
        page = await context.new_page()
        await page.goto(f"http://127.0.0.1:{port}/")
        await page.click("#listen")
        status = page.locator("#status-text")
        await expect(status).to_have_text("Live", timeout=WAIT_MS)
        await expect(page.locator("#lag")).to_be_visible(timeout=WAIT_MS)
        proxy.blocked = True
        proxy.cut()
        await expect(status).to_have_text("Lost, coming back", timeout=WAIT_MS)
        await picture(page, "page-lost-360")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
        proxy.blocked = False
        await expect(status).to_have_text("Live", timeout=WAIT_MS)
        await page.click("#listen")
        await expect(status).to_have_text("Not connected", timeout=WAIT_MS)
        # What was said meanwhile was kept and sent: the one session had no gap.
        assert server.metrics.resumes._value.get() == 1
        assert server.metrics.gap_seconds._value.get() == 0


async def test_a_file_is_heard_to_its_end(server, tmp_path):
    soundfile.write(tmp_path / "talk.wav", np.frombuffer(pcm(2.0), "<i2"), 16_000)
    async with browsing(microphone(tmp_path / "microphone.wav", 1.0)) as (context, problems):
        page = await context.new_page()
        await page.goto(server.url)
        await page.set_input_files("#file", tmp_path / "talk.wav")
        await expect(page.locator("#listen-text")).to_have_text("Stop", timeout=WAIT_MS)
        await expect(page.locator("#status-text")).to_have_text("Not connected", timeout=WAIT_MS)
        assert await page.inner_text("#clock") == "0:02"
        await page.set_input_files("#file", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no sound"})
        await expect(page.locator("#notice")).to_contain_text("notes.txt can't be played", timeout=WAIT_MS)
        assert problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_page_fits_every_width_and_every_hand(server, tmp_path, scheme):
    async with browsing(microphone(tmp_path / "m.wav", 1.0), color_scheme=scheme) as (context, problems):
        page = await context.new_page()
        for width in (360, 768, 1280, 1920):
            await page.set_viewport_size({"width": width, "height": 800})
            await page.goto(server.url)
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            await picture(page, f"page-{scheme}-{width}")
        # By keyboard alone: past the skip link to the first button, and into the dialog and out again.
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.className") == "skip"
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.id") == "listen"
        await page.focus("#enroll")
        await page.keyboard.press("Enter")
        assert await page.evaluate("document.activeElement.id") == "enroll-name"
        assert await violations(page) == []
        await page.keyboard.press("Escape")
        await expect(page.locator("#enroll-dialog")).to_be_hidden()
        # Everything that can be pressed has a name and is large enough for a thumb.
        for button in await page.locator("button:visible").all():
            assert (await button.inner_text()).strip()
            box = await button.bounding_box()
            assert box is not None
            assert box["height"] >= 36
        assert await contrast(page) >= 4.5
        assert problems == []


async def contrast(page: Page) -> float:
    """The lowest contrast (WCAG 2, relative luminance) of the page's texts with what is behind them."""
    return await page.evaluate(
        """() => {
          const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
          const rgb = (colour) => {
            canvas.clearRect(0, 0, 1, 1);
            canvas.fillStyle = colour;
            canvas.fillRect(0, 0, 1, 1);
            return [...canvas.getImageData(0, 0, 1, 1).data];
          };
          const luminance = ([r, g, b]) => [r, g, b].map((v) => v / 255)
            .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
          const behind = (element) => {
            for (let at = element; at; at = at.parentElement) {
              const colour = rgb(getComputedStyle(at).backgroundColor);
              if (colour[3] === 255) return colour;
            }
            return [255, 255, 255, 255];
          };
          const ratios = [...document.querySelectorAll("h1, h2, p, button, summary")]
            .filter((element) => element.checkVisibility() && element.innerText.trim() && !element.matches(".hidden"))
            .map((element) => [rgb(getComputedStyle(element).color), behind(element)].map(luminance).sort())
            .map(([dark, light]) => (light + 0.05) / (dark + 0.05));
          return Math.min(...ratios);
        }"""
    )


@pytest.fixture
def example(tmp_path):
    """The example in docs/examples on a page of somebody else's web server; its origin."""
    source = Path(__file__).parents[2] / "docs" / "examples" / "websocket_client.js"
    (tmp_path / "client.js").write_text(source.read_text())
    (tmp_path / "index.html").write_text("<!doctype html><title>example</title>")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.func.log_message = lambda *_: None  # type: ignore[method-assign]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{web.server_address[1]}"
        web.shutdown()
        thread.join()


async def test_the_javascript_example_of_the_docs_works_from_an_allowed_origin(serving, example, tmp_path):
    noise = np.frombuffer(pcm(20.0), "<i2").astype(np.float32) / 32768
    run = """async (port) => {
      const { listen } = await import("./client.js");
      const stop = await listen(`ws://127.0.0.1:${port}/v1/stream`, () => {});
      await new Promise((resolve) => setTimeout(resolve, 1500));
      await stop();
    }"""
    async with (
        serving(origins=(example,)) as allowing,
        browsing(microphone(tmp_path / "microphone.wav", noise)) as (context, _),
    ):
        page = await context.new_page()
        await page.goto(example)
        await page.evaluate(run, allowing.port)
        await empty(allowing)
        assert allowing.metrics.audio._value.get() > 0.5


async def test_after_a_restart_that_keeps_nothing_the_page_listens_on_and_says_so(serving, tmp_path):
    sound = microphone(tmp_path / "microphone.wav", 60.0)
    async with serving() as first, serving() as second:
        proxy = Proxy(first.port, cuts=[], split=60_000)
        async with proxy.running() as port, browsing(sound) as (context, _):
            page = await context.new_page()
            await page.goto(f"http://127.0.0.1:{port}/")
            await page.click("#listen")
            await expect(page.locator("#status-text")).to_have_text("Live", timeout=WAIT_MS)
            proxy.target = second.port
            proxy.cut()
            await expect(page.locator("#notice")).to_contain_text("The server lost the session", timeout=WAIT_MS)
            await expect(page.locator("#status-text")).to_have_text("Live", timeout=WAIT_MS)
            await expect(page.locator("#listen")).to_have_attribute("aria-pressed", "true")
            assert len(second.rooms) == 1
            # A name that cannot be one is refused before anybody speaks, and another may be given.
            await page.click("#enroll")
            await page.fill("#enroll-name", "guest-7")
            await page.keyboard.press("Enter")
            await expect(page.locator("#enroll-problem")).to_contain_text("strangers", timeout=WAIT_MS)
            await page.fill("#enroll-name", "Ada")
            await page.keyboard.press("Enter")
            await expect(page.locator("#enroll-title")).to_have_text("Ada", timeout=WAIT_MS)

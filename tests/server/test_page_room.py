"""A room that is shared: a second page watches it, and an overlay shows the name of who speaks."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from browser import CHROMIUM, browsing, looked_at, microphone, picture, violations
from playwright.async_api import Page, expect
from talking import pcm, talking

from streamer.demo import CONVERSATION, ENROLMENT
from streamer.engine.engine import Engine
from streamer.server.auth import new_token
from streamer.speakers.library import Speakers

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")

WAIT_MS = 60_000  # three pages, an engine and a real network share a machine here
EVENT = {"time": 1.0, "sample": 16_000, "decided_sample": 24_000, "reason": "", "turn": 1, "confidence": 0.9}


@pytest.fixture
def talk(tmp_path):
    """Five seconds of carol, again and again, with nothing between."""
    samples, rate = soundfile.read(CONVERSATION, dtype="float32", start=16_000, stop=5 * 16_000)
    path = tmp_path / "talk.wav"
    soundfile.write(path, np.tile(samples, 20), rate)
    return path


async def share(page: Page, room: str) -> tuple[str, str]:
    """Through the dialog, as a person does it; the links that it gives."""
    await page.click("#share")
    await page.fill("#share-room", room)
    await page.keyboard.press("Enter")
    await expect(page.locator("#share-links")).to_be_visible(timeout=WAIT_MS)
    assert await violations(page) == []
    links = await page.input_value("#share-page"), await page.input_value("#share-overlay")
    await page.click("#share-close")
    return links


async def test_a_second_page_and_an_overlay_show_who_speaks_and_change_nothing(serving, talk, tmp_path):
    with Speakers("sincnet", "sqlite://") as speakers:
        speakers.enroll("carol", ENROLMENT["carol"])
        [carol] = speakers.store.profiles(speakers.model.fingerprint)
        async with (
            serving(engine=Engine(speakers.model, device="cpu")) as server,
            browsing(microphone(tmp_path / "m.wav", 60.0), color_scheme="dark") as (context, problems),
        ):
            await server.people.add("carol", carol.exemplars)
            page, viewer, overlay = [await context.new_page() for _ in range(3)]
            # Who is there before the room is waits for it.
            await viewer.goto(f"{server.url}?room=studio")
            await expect(viewer.locator("#status-text")).to_have_text("Waiting for the room", timeout=WAIT_MS)
            await looked_at(viewer, "viewer-before", "#now-name")
            await page.goto(server.url)
            await page.bring_to_front()
            await expect(page.locator("#share")).to_be_hidden()  # there is nothing to share yet
            await page.set_input_files("#file", talk)
            await expect(page.locator("#now-name")).to_have_text("carol", timeout=WAIT_MS)
            links = await share(page, "studio")
            assert links == (f"{server.url}?room=studio", f"{server.url}overlay?room=studio")
            await overlay.goto(links[1])
            await expect(viewer.locator("#status-text")).to_have_text("Watching", timeout=WAIT_MS)
            await expect(viewer.locator("#now-name")).to_have_text("carol", timeout=WAIT_MS)
            await expect(overlay.locator("#name")).to_have_text("carol", timeout=WAIT_MS)
            await expect(overlay.locator("#name")).to_have_attribute("data-shown", "true")
            await nothing_can_be_changed(viewer)
            await expect(viewer.locator("#lag-word")).to_have_text("live", timeout=WAIT_MS)
            await looked_at(viewer, "viewer", "#now-name", "#timeline", "#turns", "#talk")
            await the_ground_is_transparent(overlay)
            await page.click("#listen")
            await expect(viewer.locator("#status-text")).to_have_text("Waiting for the room", timeout=WAIT_MS)
            await expect(viewer.locator("#summary-said")).to_contain_text("1 voice")
            await expect(overlay.locator("#name")).to_have_attribute("data-shown", "false", timeout=WAIT_MS)
            # The next session is nobody's to see until it is shared again.
            await page.set_input_files("#file", talk)
            await expect(page.locator("#share-text")).to_have_text("Share", timeout=WAIT_MS)
            await expect(page.locator("#now-name")).to_have_text("carol", timeout=WAIT_MS)
            await expect(viewer.locator("#status-text")).to_have_text("Waiting for the room")
            await share(page, "studio")
            await expect(viewer.locator("#now-name")).to_have_text("carol", timeout=WAIT_MS)
            assert problems == []


async def nothing_can_be_changed(viewer: Page) -> None:
    for selector in ("#listen", "#open-file", "#enroll", "#share", "#microphone", ".play"):
        assert await viewer.locator(selector).locator("visible=true").count() == 0, selector
    for button in await viewer.locator("#turns button:visible, #talk button:visible").all():
        assert await button.is_disabled()


async def the_ground_is_transparent(overlay: Page) -> None:
    await overlay.set_viewport_size({"width": 640, "height": 360})
    await picture(overlay, "overlay")
    shot = await overlay.screenshot(omit_background=True, animations="disabled")
    pixels = await overlay.evaluate(
        """async (bytes) => {
          const image = await createImageBitmap(new Blob([Uint8Array.from(bytes)]));
          const context = new OffscreenCanvas(640, 360).getContext("2d");
          context.drawImage(image, 0, 0);
          const opaque = (x, y, w, h) => context.getImageData(x, y, w, h).data
            .reduce((most, value, i) => (i % 4 === 3 ? Math.max(most, value) : most), 0);
          return { top: opaque(0, 0, 640, 200), below: opaque(0, 200, 640, 160) };
        }""",
        list(io.BytesIO(shot).getvalue()),
    )
    assert pixels["top"] == 0
    assert pixels["below"] > 200  # the name is there
    assert await violations(overlay) == []


async def test_where_tokens_are_asked_for_a_viewer_and_an_overlay_need_one(serving, tmp_path):
    owner, owning = new_token("kitchen", ["stream"])
    display, displaying = new_token("display", ["watch"])
    (tmp_path / "tokens").write_text(f"{owning}\n{displaying}\n")
    async with (
        serving(token_file=str(tmp_path / "tokens")) as server,
        browsing(microphone(tmp_path / "m.wav", 1.0)) as (context, _),
        talking(server) as talk,
    ):
        await talk.start(token=owner)
        await talk.say(type="share", room="studio")
        await talk.next()
        viewer, overlay, locked = [await context.new_page() for _ in range(3)]
        await viewer.goto(f"{server.url}?room=studio")
        await viewer.fill("#token-input", display)
        await viewer.keyboard.press("Enter")
        await expect(viewer.locator("#status-text")).to_have_text("Watching", timeout=WAIT_MS)
        asked: list[str] = []
        overlay.on("request", lambda request: asked.append(request.url))
        await overlay.goto(f"{server.url}overlay?room=studio#token={display}")
        await expect(overlay.locator("body")).to_have_attribute("data-state", "watching", timeout=WAIT_MS)
        # The token is sent in the first message, and neither asked for in an address nor left in one.
        assert display not in overlay.url
        assert not any(display in url for url in asked if "#" not in url)
        await locked.goto(f"{server.url}overlay?room=studio")
        await expect(locked.locator("#problem")).to_contain_text("token", timeout=WAIT_MS)
        [room] = server.rooms
        await talk.socket.send(pcm(1.0))
        room.emit(0, [{"type": "speaker", **EVENT, "speaker": "Ada", "score": 0.8, "final": False}])
        for page in (viewer, overlay):
            await expect(page.locator("#now-name, #name")).to_have_text("Ada", timeout=WAIT_MS)
        await expect(locked.locator("#name")).to_have_attribute("data-shown", "false")


async def test_a_room_that_cannot_be_one_is_said_in_words(server, tmp_path):
    async with browsing(microphone(tmp_path / "m.wav", 1.0)) as (context, _):
        page = await context.new_page()
        await page.goto(f"{server.url}?room=%3Cb%3E")
        await expect(page.locator("#notice")).to_contain_text("room", timeout=WAIT_MS)
        await page.goto(f"{server.url}overlay")
        await expect(page.locator("#problem")).to_contain_text("/overlay?room=NAME")

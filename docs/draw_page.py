"""Takes the pictures of the web page in these documents: `python docs/draw_page.py` (needs Chromium; a minute).

A server of its own with the bundled voices enrolled; a browser plays it the bundled conversation.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from streamer import Engine, Speakers
from streamer.demo import CONVERSATION, ENROLMENT
from streamer.server.app import Server
from streamer.server.config import ServerConfig

IMAGES = Path(__file__).parent / "images"
HEARD_S = 56
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
FLAGS += ["--autoplay-policy=no-user-gesture-required"]


async def draw(browser: Browser, url: str, scheme: str) -> None:
    page = await browser.new_page(
        viewport={"width": 1280, "height": 940},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    await page.goto(url)
    await page.set_input_files("#file", CONVERSATION)
    await page.wait_for_timeout(HEARD_S * 1000)
    await page.screenshot(path=IMAGES / f"page-{scheme}.png")


async def main() -> None:
    with Speakers("default", "sqlite://") as speakers:
        for name, path in ENROLMENT.items():
            speakers.enroll(name, path, force=True)
        async with (
            Engine(speakers.model, device="cpu") as engine,
            Server(ServerConfig(port=0, max_streams=4), engine, speakers.store) as server,
            async_playwright() as playwright,
        ):
            browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            await asyncio.gather(*(draw(browser, server.url, scheme) for scheme in ("light", "dark")))
            await browser.close()


if __name__ == "__main__":
    asyncio.run(main())

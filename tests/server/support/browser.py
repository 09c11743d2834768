"""Chromium, headless, with a microphone that plays a file."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path

import numpy as np
import soundfile
from playwright.async_api import BrowserContext, Page, async_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARTEFACTS = Path(__file__).parents[3] / "artefacts"
FLAGS = [
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
]


@contextlib.asynccontextmanager
async def browsing(microphone: Path, **options: object) -> AsyncIterator[tuple[BrowserContext, list[str]]]:
    """A browser context, and the list of everything that went wrong on its pages, to be empty at the end."""
    problems: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*FLAGS, f"--use-file-for-fake-audio-capture={microphone}%noloop"]
        )
        context = await browser.new_context(**options)  # type: ignore[arg-type]
        context.on("weberror", lambda error: problems.append(str(error.error)))
        context.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
        yield context, problems
        await browser.close()


def microphone(path: Path, *parts: np.ndarray | float, rate: int = 16_000) -> Path:
    """A WAV of these parts in a row: samples at 16 kHz, or seconds of near silence."""
    quiet = np.random.default_rng(0)
    parts = [
        part if isinstance(part, np.ndarray) else quiet.normal(0, 1e-4, int(part * rate)).astype(np.float32)
        for part in parts
    ]
    soundfile.write(path, np.concatenate(parts), rate, subtype="PCM_16")
    return path


async def picture(page: Page, name: str) -> None:
    """Keep a screenshot among the test's artefacts."""
    ARTEFACTS.mkdir(exist_ok=True)
    await page.screenshot(path=ARTEFACTS / f"{name}.png", full_page=True, animations="disabled")


#: A phone held upright, a tablet, a small and a usual screen.
WIDTHS = (320, 768, 1024, 1440)


async def looked_at(page: Page, name: str, *visible: str) -> None:
    """Keep screenshots at four widths; nothing is wider than the screen, what matters is there, and axe has nothing to
    say against it.

    visible: selectors of what has to be seen at every width.
    """
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 900})
        await page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        await picture(page, f"{name}-{width}")
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
        for selector in visible:
            assert await page.locator(selector).first.is_visible(), (name, width, selector)
        assert await violations(page) == [], (name, width)


async def unreachable(page: Page) -> list[str]:
    """What can be pressed or filled in, and is not come to by Tab alone."""
    marked = """() => [...document.querySelectorAll("a, button, input, select, [tabindex='0']")]
      .filter((element) => element.checkVisibility() && !element.disabled && !element.dataset.tabbed)
      .map((element) => element.outerHTML.slice(0, 120))"""
    await page.evaluate("document.activeElement.blur()")
    for _ in range(len(await page.evaluate(marked)) + 5):
        await page.keyboard.press("Tab")
        await page.evaluate("document.activeElement.dataset.tabbed = true")
    return await page.evaluate(marked)


async def violations(page: Page) -> list[str]:
    """What axe-core finds: the rule, and the elements that break it."""
    await page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    found = await page.evaluate("axe.run()")
    return [
        f"{rule['id']}: {node['html'][:200]} {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]

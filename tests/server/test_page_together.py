"""Two voices at once on the page: both names, both lanes, while they last; then a turn each."""

from __future__ import annotations

import pytest
from browser import CHROMIUM, browsing, looked_at, microphone, picture
from playwright.async_api import expect
from talking import empty, pcm, talking

WAIT_MS = 60_000
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

ABOUT = {"decided_sample": 0, "reason": "", "confidence": 0.9, "final": False}


def named(turn: int, second: float, speaker: str, type_: str = "speaker", **more) -> dict:
    return {
        "type": type_,
        **ABOUT,
        "time": second,
        "sample": round(second * 16_000),
        "turn": turn,
        "speaker": speaker,
        **more,
    }


def together(other: str | None, end_s: float | None = None, **more) -> dict:
    end = None if end_s is None else round(end_s * 16_000)
    about = {"time": 3.0, "sample": 48_000, "overlap": 1, "end_sample": end, "speaker": "Ada", "other": other}
    return {"type": "overlap", **ABOUT, **about, **more}


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_two_voices_at_once_light_two_lanes_and_both_names(server, tmp_path, scheme):
    async with (
        browsing(microphone(tmp_path / "m.wav", 1.0), color_scheme=scheme) as (context, problems),
        talking(server) as talk,
    ):
        await talk.start(stats_interval=0)
        await talk.say(type="share", room="studio")
        await talk.next()
        viewer, overlay = [await context.new_page() for _ in range(2)]
        await viewer.goto(f"{server.url}?room=studio")
        await overlay.goto(f"{server.url}overlay?room=studio")
        await talk.socket.send(pcm(1.0))
        [room] = server.rooms
        now, lit = viewer.locator("#now-name"), viewer.locator("#talk [data-now='true'] .label")

        room.emit(0, [named(1, 1.0, "Ada", score=0.8), together(None) | {"decided_sample": 64_000}])
        await expect(now).to_have_text("Ada and somebody else", timeout=WAIT_MS)
        await expect(lit).to_have_text(["Ada"])
        room.emit(0, [together("Grace") | {"decided_sample": 80_000}])
        await expect(now).to_have_text("Ada and Grace", timeout=WAIT_MS)
        await expect(viewer.locator("#now-label")).to_have_text("Speaking at once")
        await expect(viewer.locator("#now-detail")).to_have_text("90 % sure that two speak")
        await expect(lit).to_have_text(["Ada", "Grace"])
        await expect(viewer.locator("#turns .name")).to_have_text(["Ada", "Grace"])
        await expect(overlay.locator("#name")).to_have_text("Ada Grace", timeout=WAIT_MS)
        await looked_at(viewer, f"together-{scheme}", "#now-name", "#timeline", "#turns", "#talk")
        await overlay.set_viewport_size({"width": 640, "height": 360})
        await picture(overlay, f"together-overlay-{scheme}")

        # It is over: the other's share of it is a turn of its own, once.
        room.emit(
            0,
            [
                together("Grace", 6.0, final=True) | {"decided_sample": 112_000},
                named(2, 3.0, "Grace", score=0.8),
                named(2, 6.0, "Grace", "turn_end", score=0.8, start_sample=48_000),
            ],
        )
        await expect(now).to_have_text("Ada", timeout=WAIT_MS)
        await expect(viewer.locator("#turns .name")).to_have_text(["Ada", "Grace"])
        await expect(viewer.locator("#turns li[data-lasting='true'] .name")).to_have_text(["Ada"])
        await expect(overlay.locator("#name")).to_have_text("Ada")
        assert problems == []
    await empty(server)

"""Draws a picture of the live view as it stands at some second of a recording: `python demos/live_view.py live.svg`.

The view is the one of `streamer live`; only the pacing is left out.
"""

from __future__ import annotations

import argparse
import io
import re
from pathlib import Path

from rich.console import Console

from streamer import Model
from streamer.audio.chunks import SAMPLE_RATE, Chunk
from streamer.audio.files import read_audio
from streamer.demo import CONVERSATION, ENROLMENT
from streamer.session import Session
from streamer.sinks.terminal import TerminalView
from streamer.speakers.library import DURATIONS, STEP_S, Speakers


def draw(path: Path, at_s: float, width: int = 100) -> None:
    """Follow the bundled conversation up to `at_s` and write what the view then shows as SVG."""
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    view = TerminalView(console, "bundled conversation")
    with Speakers(Model.from_pretrained(), "sqlite://") as speakers:
        for name, file in ENROLMENT.items():
            speakers.enroll(name, file, force=True)
        session = Session(speakers, keep_guests=False, sinks=[view])
        stream = speakers.engine.open(DURATIONS, STEP_S)
        samples = read_audio(CONVERSATION).mono_16k()[: round(at_s * SAMPLE_RATE)]
        block = SAMPLE_RATE // 10
        for start in range(0, len(samples), block):
            view.hear(Chunk(start, samples[start : start + block]))
            for step in stream.push(samples[start : start + block]):
                session.hear(step)
    console.print(view.render())
    svg = console.export_svg(title="streamer live")
    # rich asks a content delivery network for its font; any monospaced one will do.
    path.write_text(re.sub(r"@font-face\s*\{.*?\}", "", svg, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="the SVG file to write")
    parser.add_argument("--at", type=float, default=53.0, help="second of the recording")
    arguments = parser.parse_args()
    draw(arguments.path, arguments.at)

"""Draws what one sees of the demos, for README.md beside it: `python demos/make_pictures.py`.

The demos' own functions at work on the bundled conversation, stopped in the middle of it.
"""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Sequence
from pathlib import Path

from live_microphone import enrol, identify
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console, RenderableType

from streamer import Engine, FileSource, IteratorSource, Meeting, Speakers
from streamer.audio.chunks import SAMPLE_RATE
from streamer.demo import CONVERSATION, ENROLMENT
from streamer.demo.room import SEATS, seats
from streamer.engine.window import Step
from streamer.sinks.base import SessionView
from streamer.sinks.terminal import TerminalView

FOLDER = Path(__file__).parent / "pictures"
WHEN_S = 45.5
WIDTH = 96
#: Without rich's web fonts: a picture that is looked at must not phone anybody.
FORMAT = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.S)


class Camera(TerminalView):
    """A view that remembers how it looked at one moment."""

    picture: RenderableType | None = None

    def step(self, step: Step, session: SessionView) -> None:
        super().step(step, session)
        if self.picture is None and session.timeline.now_sample >= WHEN_S * SAMPLE_RATE:
            self.picture = self.render()


def save(name: str, title: str, *shown: RenderableType | None) -> None:
    console = Console(width=WIDTH, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for part in shown:
        console.print(part)
    FOLDER.mkdir(exist_ok=True)
    console.save_svg(str(FOLDER / f"{name}.svg"), title=title, code_format=FORMAT, unique_id=name)


def camera(title: str) -> Camera:
    return Camera(Console(width=WIDTH, file=io.StringIO()), title)


async def main(only: Sequence[str] = ("live_microphone", "meeting_room")) -> None:
    async with Engine() as engine:
        with Speakers(engine.model, "sqlite://") as speakers:
            quiet = Console(file=io.StringIO())
            for name, path in ENROLMENT.items():
                await enrol(engine, speakers, name, FileSource(path), quiet)
            if "live_microphone" in only:
                view = camera("conversation.ogg")
                await identify(engine, speakers, FileSource(CONVERSATION), view, live=False)
                save("live_microphone", "python demos/live_microphone.py --simulate", view.picture)
            if "meeting_room" in only:
                view = camera("meeting room")
                names = [f"seat of {name}" for name in SEATS]
                meeting = Meeting(speakers, names, live=False, sinks=[view])
                await meeting.run_room(engine, [IteratorSource([samples]) for samples in seats()])
                rows = [
                    (span.start_sample / SAMPLE_RATE, span.speaker, names[span.channel or 0])
                    for span in meeting.timeline.spans
                ]
                turns = "\n".join(f"{start:7.1f} s  {speaker:10}  {seat}" for start, speaker, seat in rows)
                save("meeting_room", "python demos/meeting_room.py --simulate", turns)


if __name__ == "__main__":
    asyncio.run(main())

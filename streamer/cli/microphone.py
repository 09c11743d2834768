"""Enrolment from the microphone, with advice during speech."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from streamer.audio.chunks import Chunk, Source
from streamer.audio.sources import MicrophoneSource
from streamer.cli.beforehand import microphone
from streamer.cli.listening import interrupted
from streamer.sinks.text import draws
from streamer.speakers.enrolment import Coach, Progress, Verdict
from streamer.speakers.library import Speakers
from streamer.speakers.settings import DURATIONS, STEP_S


def enrol_by_voice(
    speakers: Speakers, name: str, device: str | None, console: Console, *, force: bool = False
) -> Verdict:
    """Listen until there is enough speech, or Ctrl-C; then enrol. Raises EnrolmentRefused."""
    coach = speakers.coach(name, "microphone")
    console.print(f"Speak, {name}, as you would in a meeting. Ctrl-C ends early.")
    asyncio.run(listen(speakers, coach, MicrophoneSource(microphone(device)), console))
    return speakers.commit(name, coach, force=force)


async def listen(speakers: Speakers, coach: Coach, source: Source, console: Console) -> None:
    """Read a source until there is enough speech, the source ends, or Ctrl-C is pressed."""
    stream = speakers.engine.open(DURATIONS, STEP_S)
    wanted_s = coach.settings.wanted_s
    live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)
    with interrupted() as stop, live if draws(console) else nullcontext():
        async with source:
            async for event in source:
                if isinstance(event, Chunk):
                    coach.hear(event.samples)
                    steps = stream.push(event.samples)
                else:
                    steps = stream.gap(event.end_sample)
                for step in steps:
                    progress = coach.step(step)
                    if draws(console):
                        live.update(_shown(progress, wanted_s), refresh=True)
                if coach.speech_s >= wanted_s or stop.is_set():
                    break
    for step in stream.finish():
        coach.step(step)


def _shown(progress: Progress, wanted_s: float) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_row(
        ProgressBar(total=1.0, completed=progress.share, width=40),
        f"{progress.speech_s:.1f} of {wanted_s:g} s",
        f"{progress.level_db:.0f} dB",
        "; ".join(finding.advice for finding in progress.findings),
    )
    return table

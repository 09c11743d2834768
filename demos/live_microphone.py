"""Enrol by voice, then see who speaks: the microphone on the public API.

python demos/live_microphone.py Ada Bob      # Ada speaks for ten seconds, then Bob, and then anybody
python demos/live_microphone.py --simulate   # no microphone: the bundled voices and their conversation

Nothing leaves the machine, no audio is kept, and the voice prints are forgotten at the end (give a file as --store to
keep them).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from pathlib import Path

from rich.console import Console

from streamer import Engine, FileSource, MicrophoneSource, Session, Speakers
from streamer.audio.chunks import AudioEvent, Chunk, Source
from streamer.demo import CONVERSATION, ENROLMENT
from streamer.engine.window import Step
from streamer.errors import EnrolmentRefused, StreamerError
from streamer.sinks.recording import Tapped
from streamer.sinks.terminal import TerminalView, summary

#: A short window to notice a change soon, a long one to be sure; a decision twice a second.
WINDOWS_S, STEP_S = (1.0, 3.0), 0.5


def options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Enrol by voice, then see who speaks.")
    parser.add_argument("names", nargs="*", help="who enrols, in this order")
    parser.add_argument("--simulate", action="store_true", help="play the bundled conversation instead")
    parser.add_argument("--speed", type=float, default=1.0, help="with --simulate: times real time; 0: no pacing")
    parser.add_argument("--microphone", "--device", help="the microphone: a number or part of a name")
    parser.add_argument("--store", default="sqlite://", help="where voice prints are kept; default: in memory")
    parser.add_argument("--model", default="default")
    return parser.parse_args(arguments)


async def enrol(engine: Engine, speakers: Speakers, name: str, source: Source, console: Console) -> None:
    """Listen until the coach has enough speech of `name`; ask again for what would poison the profile."""
    coach = speakers.coach(name)

    def hear(event: AudioEvent) -> None:
        if isinstance(event, Chunk):
            coach.hear(event.samples)

    with console.status(f"speak, {name}, as you would in a meeting") as status:
        async with engine.stream(Tapped(source, hear), WINDOWS_S, STEP_S) as stream:
            async for step in stream.steps():
                if isinstance(step, Step):
                    progress = coach.step(step)
                    advice = "; ".join(finding.advice for finding in progress.findings)
                    status.update(f"{name}: {progress.speech_s:.1f} s of speech, {progress.level_db:.0f} dB  {advice}")
                    if progress.share >= 1:
                        break
    verdict = speakers.commit(name, coach)
    console.print(f"enrolled {name}: {verdict.speech_s:.1f} s of speech")


async def identify(engine: Engine, speakers: Speakers, source: Source, view: TerminalView, *, live: bool) -> Session:
    """Show who speaks, until the source ends or the task is cancelled."""
    session = Session(speakers, keep_guests=False, sinks=[view])
    with view:
        # A live source cannot wait: a machine that is too slow leaves steps out, and says so.
        policy = "latest" if live else "every"
        async with engine.stream(Tapped(source, view.hear), WINDOWS_S, STEP_S, policy=policy) as stream:
            with contextlib.suppress(asyncio.CancelledError):  # Ctrl-C
                await session.run(stream)
    return session


async def run(args: argparse.Namespace, console: Console) -> Session:
    device = int(args.microphone) if args.microphone and args.microphone.isdigit() else args.microphone
    async with Engine(args.model) as engine:
        with Speakers(engine.model, args.store) as speakers:
            for name in ENROLMENT if args.simulate else args.names:
                source = FileSource(ENROLMENT[name]) if args.simulate else MicrophoneSource(device)
                try:
                    await enrol(engine, speakers, name, source, console)
                except EnrolmentRefused as refused:
                    console.print(f"{refused} Go on without, or start again.", style="yellow")
            if args.simulate:
                heard, title = FileSource(CONVERSATION, speed=args.speed or None), Path(CONVERSATION).name
            else:
                heard, title = MicrophoneSource(device), "microphone"
            return await identify(engine, speakers, heard, TerminalView(console, title), live=not args.simulate)


def main(arguments: list[str] | None = None, console: Console | None = None) -> Session:
    args = options(arguments)
    console = console or Console(highlight=False)
    if not args.simulate and not args.names:
        sys.exit("Say who is there: live_microphone.py Ada Bob. Or try --simulate.")
    try:
        session = asyncio.run(run(args, console))
    except StreamerError as error:
        sys.exit(str(error))
    console.line()
    console.print(summary(session.view))
    return session


if __name__ == "__main__":
    main()

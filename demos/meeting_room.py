"""Who speaks in a room with several microphones, and at which of them.

python demos/meeting_room.py --simulate                        # the bundled conversation, a microphone at each seat
python demos/meeting_room.py board.wav --roster Ada --roster Bob    # a recording with a channel for each microphone
python demos/meeting_room.py --microphones 4 --microphone "USB Audio"   # a sound card with four inputs

What several microphones hear of a voice is one turn, at the microphone that hears it best. At the end the minutes are
written: one HTML file, with the time line, who talked how long, and who interrupted whom.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from streamer import Engine, FileSource, IteratorSource, Meeting, MicrophoneSource, Speakers
from streamer.audio.sources import BaseSource, split_channels
from streamer.demo import ENROLMENT
from streamer.demo.room import SEATS, seats
from streamer.errors import StreamerError
from streamer.sinks.minutes import Minutes
from streamer.sinks.terminal import TerminalView, summary


def options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Who speaks in a room with several microphones.")
    parser.add_argument("file", nargs="?", help="a recording with one channel for each microphone")
    parser.add_argument("--simulate", action="store_true", help="the bundled conversation at a table of four")
    parser.add_argument("--microphones", type=int, help="how many inputs the sound card has")
    parser.add_argument("--microphone", "--device", help="the sound card: part of its name")
    parser.add_argument("--roster", action="append", help="who is invited, of those enrolled; may be repeated")
    parser.add_argument("--minutes", type=Path, default=Path("minutes.html"))
    parser.add_argument("--store", help="the speaker store; default: the user's own, or in memory with --simulate")
    parser.add_argument("--model", default="default")
    args = parser.parse_args(arguments)
    if sum(map(bool, (args.file, args.simulate, args.microphones))) != 1:
        parser.error("give a file, or --microphones N, or --simulate")
    return args


def sources(args: argparse.Namespace) -> Sequence[BaseSource]:
    """A source for each microphone."""
    if args.simulate:
        return [IteratorSource([samples]) for samples in seats()]
    if args.file:
        return split_channels(FileSource(args.file))
    return split_channels(MicrophoneSource(args.microphone, channels=args.microphones))


async def run(args: argparse.Namespace, console: Console) -> Meeting:
    async with Engine(args.model) as engine:
        with Speakers(engine.model, "sqlite://" if args.simulate else args.store) as speakers:
            for name, path in ENROLMENT.items() if args.simulate else ():
                speakers.enroll(name, path)
            inputs = sources(args)
            names = [f"seat of {name}" for name in SEATS] if args.simulate else len(inputs)
            view = TerminalView(console, "meeting room")
            meeting = Meeting(
                speakers,
                names,
                live=args.microphones is not None,
                roster=args.roster,
                sinks=[view, Minutes(args.minutes, title="Meeting")],
            )
            with view, contextlib.suppress(asyncio.CancelledError):  # Ctrl-C ends it, and the minutes are written
                await meeting.run_room(engine, inputs)
            return meeting


def main(arguments: list[str] | None = None, console: Console | None = None) -> Meeting:
    args = options(arguments)
    console = console or Console(highlight=False)
    try:
        meeting = asyncio.run(run(args, console))
    except StreamerError as error:
        sys.exit(str(error))
    console.line()
    for span in meeting.timeline.spans:
        where = meeting.channels[span.channel or 0]
        console.print(f"{span.start_sample / 16_000:7.1f} s  {span.speaker:10}  {where}")
    console.print(summary(meeting.view))
    console.print(f"minutes: {args.minutes}")
    return meeting


if __name__ == "__main__":
    main()

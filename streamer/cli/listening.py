"""Shared by `streamer run` and `streamer live`: a source through the engine and a session to the sinks."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from streamer.audio.chunks import Source
from streamer.audio.sources.base import BaseSource
from streamer.cli.common import load_model
from streamer.cli.waiting import MODEL, rehearse, waiting
from streamer.engine.engine import Engine
from streamer.engine.stream import Policy
from streamer.session import Session
from streamer.sinks.base import Sink
from streamer.sinks.files import OutputFiles
from streamer.sinks.jsonl import JsonLines
from streamer.sinks.lines import Lines
from streamer.sinks.recording import Recorder, Tapped
from streamer.sinks.terminal import TerminalView, summary
from streamer.sinks.text import draws, plain_console
from streamer.speakers.library import Speakers
from streamer.speakers.settings import DURATIONS, STEP_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """The options of both commands, already checked by `beforehand`.

    title: the name of the source. live_view: draw the terminal view, if standard output is a terminal that can be drawn
    on. more: sinks beside those of the other options. policy: see `streamer.engine.stream`.
    """

    title: str
    store: str | None = None
    model: str = "default"
    device: str = "auto"
    roster: list[str] | None = None
    step_s: float = STEP_S
    json: bool = False
    files: OutputFiles = field(default_factory=OutputFiles)
    more: Sequence[Sink] = ()
    record: Path | None = None
    keep_guests: bool = True
    live_view: bool = True
    policy: Policy = "every"
    console: Console = field(default_factory=plain_console)

    def listen(self, source: Source, speakers: Speakers | None = None) -> Session:
        """Listen until the source ends or Ctrl-C is pressed, then print a summary."""
        return asyncio.run(self._listen(source, speakers))

    async def _listen(self, source: Source, given: Speakers | None) -> Session:
        draws_view = self.live_view and not self.json and draws(self.console)
        with waiting(MODEL) as say:
            engine = Engine(load_model(self.model) if given is None else given.model, device=self.device)
            speakers = given or Speakers(engine.model, self.store)
            if self.policy == "latest" or draws_view:
                rehearse(engine.incremental, say)
        with contextlib.ExitStack() as stack:
            if given is None:
                stack.callback(speakers.close)
            # Before the view starts, which would be drawn over a message, and before files are created.
            speakers.tell_of_others()
            speakers.roster(self.roster)
            sinks = [*self.files.sinks(self.title, Path(self.title).stem), *self.more]
            noticing = source if isinstance(source, BaseSource) else None
            if self.record is not None:
                recorder = Recorder(self.record)
                stack.callback(recorder.close)
                source = Tapped(source, recorder.hear)
            if self.json:
                sinks.append(JsonLines(sys.stdout))
            elif draws_view:
                view = stack.enter_context(TerminalView(self.console, self.title))
                source = Tapped(source, view.hear)
                sinks.append(view)
            else:
                sinks.append(Lines(sys.stdout))
            session = Session(speakers, roster=self.roster, keep_guests=self.keep_guests, sinks=sinks)
            if noticing is not None:
                noticing.on_notice = session.note
            with interrupted() as stop:
                async with engine, engine.stream(source, DURATIONS, self.step_s, policy=self.policy) as stream:
                    await session.run(stream, stop)
        if not self.json:
            self.console.print(summary(session.view) if session.timeline.talk_time() else "nobody spoke")
            if written := self.files.written():
                self.console.print(f"written: {written}", soft_wrap=True)
        return session


@contextlib.contextmanager
def interrupted() -> Iterator[asyncio.Event]:
    """An event that the first Ctrl-C (or SIGTERM) sets; a second one interrupts as usual."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)

    def first() -> None:
        stop.set()
        for number in signals:
            loop.remove_signal_handler(number)

    try:
        for number in signals:
            loop.add_signal_handler(number, first)
    except NotImplementedError:  # Windows: Ctrl-C interrupts at once, and `Session.run` still finishes.
        yield stop
        return
    try:
        yield stop
    finally:
        for number in signals:
            loop.remove_signal_handler(number)

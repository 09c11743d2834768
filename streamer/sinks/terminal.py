"""The live view: level, who speaks, the last minute by speaker, talk time, lag and drops."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from streamer.audio.chunks import SAMPLE_RATE, AudioEvent, Chunk
from streamer.sinks.base import SessionView, Sink
from streamer.sinks.lines import how_sure
from streamer.speakers.events import Ambiguous, Event, GapEvent, Notice, Overload, Speaker, Unknown
from streamer.speakers.timeline import Span, clock, is_stranger

if TYPE_CHECKING:
    from streamer.engine.window import Step

#: Colours that are distinct on light and dark backgrounds; strangers are grey.
COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red", "bright_cyan", "bright_magenta", "bright_green")
STRANGER = "bright_black"
WINDOW_S = 60
NAME_WIDTH = 14
METER_WIDTH = 32
QUIETEST_DB = -60.0
REFRESH_S = 0.1


class TerminalView(Sink):
    """Draws the view on a console, at most ten times a second.

    title: the name of the source. clock: seconds.
    """

    def __init__(self, console: Console, title: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.console, self.title = console, title
        self.level_db = -math.inf
        self.lag_s = 0.0
        self.lost_s = 0.0
        self.skipped = 0
        self.note = ""
        self._colours: dict[str, str] = {}
        self._clock = clock
        self._drawn = -math.inf
        self._session: SessionView | None = None
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    def __enter__(self) -> TerminalView:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    # Input

    def hear(self, event: AudioEvent) -> None:
        """Take an audio event, for the level meter."""
        if isinstance(event, Chunk) and len(event.samples):
            power = float(np.mean(np.square(event.samples, dtype=np.float64)))
            self.level_db = 10 * math.log10(power) if power > 0 else -math.inf
        self._draw()

    def event(self, event: Event, session: SessionView) -> None:
        if isinstance(event, Speaker | Unknown):
            self.colour(event.speaker)  # Colours are given in the order of the first events.
        if isinstance(event, GapEvent):
            self.lost_s += (event.end_sample - event.sample) / SAMPLE_RATE
        elif isinstance(event, Overload):
            self.skipped += event.skipped
        elif isinstance(event, Notice):
            self._live.console.print(Text(event.message, style="yellow"))
        elif isinstance(event, Ambiguous):
            self.note = f"not clear: {' or '.join(event.candidates)}"
        elif isinstance(event, Speaker):
            self.note = "" if event.margin is None else f"ahead of {event.runner_up} by {event.margin:.2f}"

    def step(self, step: Step, session: SessionView) -> None:
        self._session = session
        self.lag_s = step.lag_s
        self._draw(at_once=True)

    def close(self, session: SessionView) -> None:
        self._session = session
        self._draw(at_once=True)

    def _draw(self, at_once: bool = False) -> None:
        now = self._clock()
        if self._live.is_started and (at_once or now - self._drawn >= REFRESH_S):
            self._drawn = now
            self._live.update(self.render(), refresh=True)

    # Output

    def render(self) -> RenderableType:
        session = self._session
        now = session.timeline.now_sample if session is not None else 0
        head = Table.grid(expand=True)
        head.add_column()
        head.add_column(justify="right")
        head.add_row(Text.assemble((self.title, "bold"), f"  {clock(now)}"), self._meter())
        parts: list[RenderableType] = [head, Rule(style="bright_black")]
        if session is not None:
            parts += [Padding(self._now(session), (0, 0, 1, 0)), self._minute(session)]
        parts += [Rule(style="bright_black"), self._foot(session)]
        return Group(*parts)

    def _meter(self) -> Text:
        filled = round(METER_WIDTH * min(1.0, max(0.0, 1 - self.level_db / QUIETEST_DB))) if self._heard else 0
        text = Text()
        for cell in range(METER_WIDTH):
            share = cell / METER_WIDTH
            colour = "green" if share < 0.7 else "yellow" if share < 0.9 else "red"
            text.append("▮" if cell < filled else "▯", style=colour if cell < filled else "bright_black")
        level = f"{self.level_db:5.0f} dB" if self._heard else "   -- dB"
        return text.append(level, style="dim")

    @property
    def _heard(self) -> bool:
        return math.isfinite(self.level_db)

    def _now(self, session: SessionView) -> Text:
        span = session.timeline.current
        if span is None:
            return Text("somebody speaks ..." if session.timeline.speaking else "silence", style="dim")
        state = "" if span.final else "  (provisional)"
        return Text.assemble(
            ("● ", self.colour(span.speaker)),
            (span.speaker, f"bold {self.colour(span.speaker)}"),
            f"  {how_sure(span.confidence)}{state}",
            (f"  {self.note}", "dim"),
        )

    def _minute(self, session: SessionView) -> Table:
        """A row for each speaker: the last minute as a bar, and their talk time."""
        talk = session.timeline.talk_time()
        total = sum(talk.values()) or 1.0
        width = max(20, self.console.width - NAME_WIDTH - 20)
        table = Table.grid(padding=(0, 1))
        table.add_column(width=NAME_WIDTH, no_wrap=True)
        table.add_column(width=width, no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        for name in [*self._colours, *(name for name in talk if name not in self._colours)]:
            if name in talk:
                colour = self.colour(name)
                spans = [span for span in session.timeline.everything() if span.speaker == name]
                share = f"{clock(round(talk[name] * SAMPLE_RATE))} {talk[name] / total:4.0%}"
                bar = Text(_bar(spans, session.timeline.now_sample, width), style=colour)
                table.add_row(Text(name, style=colour, overflow="ellipsis"), bar, share)
        table.add_row("", Text(_scale(width), style="bright_black"), "")
        return table

    def _foot(self, session: SessionView | None) -> Text:
        enrolled = session.enrolled if session is not None else 0
        lost = (
            f"{self.lost_s:.1f} s lost, {self.skipped} steps left out"
            if self.lost_s or self.skipped
            else "nothing lost"
        )
        return Text(f"lag {self.lag_s * 1000:.0f} ms · {lost} · {enrolled} enrolled · Ctrl-C ends", style="dim")

    def colour(self, name: str) -> str:
        """A speaker's colour, which stays the same."""
        if name not in self._colours:
            known = sum(not is_stranger(known) for known in self._colours)
            self._colours[name] = STRANGER if is_stranger(name) else COLOURS[known % len(COLOURS)]
        return self._colours[name]


def summary(session: SessionView) -> Table:
    """A table of how long each person spoke, at the end."""
    talk = session.timeline.talk_time()
    total = sum(talk.values()) or 1.0
    table = Table(box=None, pad_edge=False)
    for column in ("speaker", "talk time", "share", "turns"):
        table.add_column(column, justify="left" if column == "speaker" else "right")
    for name, seconds in talk.items():
        turns = sum(span.speaker == name for span in session.timeline.everything())
        table.add_row(Text(name), clock(round(seconds * SAMPLE_RATE)), f"{seconds / total:.0%}", str(turns))
    return table


def _bar(spans: list[Span], now_sample: int, width: int) -> str:
    """The last minute in `width` cells: full where the speaker's name is final, shaded while it may change."""
    begin, cell = now_sample - WINDOW_S * SAMPLE_RATE, WINDOW_S * SAMPLE_RATE / width
    cells = [" "] * width
    for span in spans:
        end = now_sample if span.end_sample is None else span.end_sample
        first, last = (span.start_sample - begin) / cell, (end - begin) / cell
        for place in range(max(0, round(first)), min(width, max(round(last), round(first) + 1))):
            cells[place] = "█" if span.final else "▒"
    return "".join(cells)


def _scale(width: int) -> str:
    left, right = f"-{WINDOW_S} s", "now"
    return left + "─" * (width - len(left) - len(right)) + right

"""The minutes of a meeting: one HTML file that needs nothing else, neither scripts nor the network."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.audio.chunks import SAMPLE_RATE
from streamer.meeting.statistics import Statistics, statistics
from streamer.output import check_writable, replacing
from streamer.sinks.base import Sink
from streamer.speakers.timeline import Span, clock, is_stranger

if TYPE_CHECKING:
    from streamer.engine.window import Step
    from streamer.session import Session

#: Told apart on light and dark grounds, and by most who see colours differently; strangers are grey.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7f3c8d", "#3d8f3d")
STRANGER = "#8a8a8a"

STYLE = """
:root { color-scheme: light dark; --line: #8884; --faint: #777; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin: 0; } h2 { margin: 2.2rem 0 .6rem; font-size: 1.15rem; } p { margin: .3rem 0; color: var(--faint); }
table { border-collapse: collapse; width: 100%; } th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); }
th { text-align: left; font-weight: 600; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
.dot { display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-right: .5em; }
.lane { display: flex; align-items: center; gap: .8rem; margin: .35rem 0; }
.who { flex: 0 0 8rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.bar { position: relative; flex: 1; height: 1.1rem; background: var(--line); border-radius: 3px; overflow: hidden; }
.bar i { position: absolute; top: 0; bottom: 0; min-width: 1px; }
.scale { position: relative; flex: 1; height: 1.2rem; font-size: .75rem; color: var(--faint); }
.scale span { position: absolute; transform: translateX(-50%); }
.share { background: var(--line); border-radius: 3px; height: .6rem; min-width: 6rem; } .share i { display: block;
height: 100%; border-radius: 3px; }
details { margin-top: 2.2rem; } summary { cursor: pointer; font-weight: 600; font-size: 1.15rem; }
@media print { details { display: none; } }
@media (max-width: 30rem) { .who { flex-basis: 5rem; } th, td { padding: .3rem; } }
"""


class Minutes(Sink):
    """Writes `path` when the meeting is over, if anything was heard of it. Raises OSError where it cannot be written,
    at once.

    began: when the meeting did, as Unix time; default: now.
    """

    def __init__(self, path: str | os.PathLike[str], title: str = "Meeting", began: float | None = None) -> None:
        self.path, self.title = Path(path), title
        self.began = time.time() if began is None else began
        check_writable(self.path)  # better to know now than at the end of the meeting
        self._heard = False

    def step(self, step: Step, session: Session) -> None:
        self._heard = True

    def close(self, session: Session) -> None:
        if not self._heard:
            return
        timeline = session.timeline
        channels: Sequence[str] = getattr(session, "channels", ())
        page = minutes(timeline.everything(), timeline.now_sample, self.title, self.began, channels)
        with replacing(self.path) as new:
            new.write_text(page, encoding="utf-8")


def minutes(
    spans: Sequence[Span], end_sample: int, title: str, began: float | None = None, channels: Sequence[str] = ()
) -> str:
    """The page, of a meeting's turns. channels: the names of a room's microphones."""
    spans = sorted(
        (span for span in spans if (span.end_sample or end_sample) > span.start_sample),
        key=lambda span: (span.start_sample, span.turn),
    )
    found = statistics(spans, end_sample)
    colours = _colours([talk.speaker for talk in found.talks])
    when = "" if began is None else time.strftime("%Y-%m-%d %H:%M, ", time.localtime(began))
    people = f"{len(found.talks)} {'voice' if len(found.talks) == 1 else 'voices'}"
    said = f"{when}{clock(end_sample)} long, {people}, {clock(round(found.spoken_s * SAMPLE_RATE))} of speech"
    if found.overlap_s >= 0.05:
        said += f", {found.overlap_s:.1f} s of it with two or more at once"
    parts = [
        f"<h1>{escape(title)}</h1><p>{escape(said)}</p>",
        "<h2>Time line</h2>",
        _time_line(spans, found, end_sample, colours),
        "<h2>Talk time and turns</h2>",
        _talk_table(found, colours),
        "<h2>Who interrupted whom</h2>",
        _interruptions(found),
        _turns(spans, end_sample, colours, channels),
    ]
    body = "\n".join(parts) if spans else f"{parts[0]}<p>Nobody spoke.</p>"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<style>{STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def _colours(speakers: Sequence[str]) -> dict[str, str]:
    known = [speaker for speaker in speakers if not is_stranger(speaker)]
    colours = {speaker: COLOURS[number % len(COLOURS)] for number, speaker in enumerate(sorted(known))}
    return {speaker: colours.get(speaker, STRANGER) for speaker in speakers}


def _name(speaker: str, colours: dict[str, str]) -> str:
    return f'<span class="dot" style="background:{colours[speaker]}"></span>{escape(speaker)}'


def _time_line(spans: Sequence[Span], found: Statistics, end_sample: int, colours: dict[str, str]) -> str:
    total = max(end_sample, 1)
    lanes = []
    for talk in found.talks:
        bars = []
        for span in spans:
            if span.speaker == talk.speaker:
                end = end_sample if span.end_sample is None else span.end_sample
                place = f"left:{span.start_sample / total:.4%};width:{(end - span.start_sample) / total:.4%}"
                hint = f"{clock(span.start_sample)} - {clock(end)}"
                bars.append(f'<i style="{place};background:{colours[talk.speaker]}" title="{hint}"></i>')
        lane = f'<div class="who">{_name(talk.speaker, colours)}</div><div class="bar">{"".join(bars)}</div>'
        lanes.append(f'<div class="lane">{lane}</div>')
    marks = "".join(
        f'<span style="left:{part / 5:.0%}">{clock(round(total * part / 5)).partition(".")[0]}</span>'
        for part in range(6)
    )
    return "\n".join([*lanes, f'<div class="lane"><div class="who"></div><div class="scale">{marks}</div></div>'])


def _talk_table(found: Statistics, colours: dict[str, str]) -> str:
    rows = []
    for talk in found.talks:
        share = f'<div class="share"><i style="width:{talk.share:.1%};background:{colours[talk.speaker]}"></i></div>'
        numbers = [
            clock(round(talk.seconds * SAMPLE_RATE)),
            f"{talk.share:.0%}",
            str(talk.turns),
            f"{talk.mean_s:.1f} s",
            f"{talk.longest_s:.1f} s",
        ]
        cells = "".join(f'<td class="n">{number}</td>' for number in numbers)
        rows.append(f"<tr><td>{_name(talk.speaker, colours)}</td><td>{share}</td>{cells}</tr>")
    head = "".join(f'<th class="n">{name}</th>' for name in ("talk time", "share", "turns", "mean turn", "longest"))
    return f"<table><tr><th>speaker</th><th></th>{head}</tr>\n" + "\n".join(rows) + "</table>"


def _interruptions(found: Statistics) -> str:
    if not found.interruptions:
        return "<p>Nobody.</p>"
    rows = [
        f'<tr><td>{escape(who)}</td><td>{escape(whom)}</td><td class="n">{count}</td></tr>'
        for (who, whom), count in sorted(found.interruptions.items(), key=lambda item: (-item[1], item[0]))
    ]
    return "<table><tr><th>who</th><th>whom</th><th class='n'>times</th></tr>\n" + "\n".join(rows) + "</table>"


def _turns(spans: Sequence[Span], end_sample: int, colours: dict[str, str], channels: Sequence[str]) -> str:
    rows = []
    for span in spans:
        end = end_sample if span.end_sample is None else span.end_sample
        known = span.channel is not None and span.channel < len(channels)
        where = escape(channels[span.channel]) if known and span.channel is not None else ""
        rows.append(
            f'<tr><td class="n">{clock(span.start_sample)}</td><td class="n">{clock(end)}</td>'
            f"<td>{_name(span.speaker, colours)}</td><td>{where}</td></tr>"
        )
    head = '<tr><th class="n">from</th><th class="n">to</th><th>speaker</th><th>microphone</th></tr>'
    return f"<details><summary>All {len(spans)} turns</summary><table>{head}\n" + "\n".join(rows) + "</table></details>"

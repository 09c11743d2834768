"""The minutes of a meeting: one self-contained HTML file, without scripts or network access."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.audio.chunks import SAMPLE_RATE
from streamer.output import check_writable, replacing
from streamer.sinks.base import SessionView, Sink
from streamer.sinks.statistics import statistics
from streamer.speakers.timeline import Span, clock, is_stranger

if TYPE_CHECKING:
    import jinja2

    from streamer.engine.window import Step

#: Distinct on light and dark backgrounds, and for most colour-blind readers; strangers are grey.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7f3c8d", "#3d8f3d")
STRANGER = "#8a8a8a"


class Minutes(Sink):
    """Writes `path` at the end of the meeting, if it received any audio. Raises OSError at once if it cannot be
    written.

    began: the start of the meeting, as Unix time; default: now.
    """

    def __init__(self, path: str | os.PathLike[str], title: str = "Meeting", began: float | None = None) -> None:
        self.path, self.title = Path(path), title
        self.began = time.time() if began is None else began
        check_writable(self.path)  # so that an error shows at the start, not at the end of the meeting
        self._heard = False

    def step(self, step: Step, session: SessionView) -> None:
        self._heard = True

    def close(self, session: SessionView) -> None:
        if not self._heard:
            return
        timeline = session.timeline
        page = minutes(timeline.everything(), timeline.now_sample, self.title, self.began, session.channels)
        with replacing(self.path) as new:
            new.write_text(page, encoding="utf-8")


def minutes(
    spans: Sequence[Span], end_sample: int, title: str, began: float | None = None, channels: Sequence[str] = ()
) -> str:
    """The page for a meeting's turns. channels: the names of a room's microphones."""
    spans = sorted(
        (span for span in spans if (span.end_sample or end_sample) > span.start_sample),
        key=lambda span: (span.start_sample, span.turn),
    )
    found = statistics(spans, end_sample)
    when = "" if began is None else time.strftime("%Y-%m-%d %H:%M, ", time.localtime(began))
    people = f"{len(found.talks)} {'voice' if len(found.talks) == 1 else 'voices'}"
    said = f"{when}{clock(end_sample)} long, {people}, {clock(round(found.spoken_s * SAMPLE_RATE))} of speech"
    if found.overlap_s >= 0.05:
        said += f", {found.overlap_s:.1f} s of it with two or more at once"
    rows = [
        {
            "speaker": span.speaker,
            "start": span.start_sample,
            "end": end_sample if span.end_sample is None else span.end_sample,
            "where": _at(channels, span.channel),
        }
        for span in spans
    ]
    return _template().render(
        title=title,
        said=said,
        spans=rows,
        found=found,
        interruptions=sorted(found.interruptions.items(), key=lambda item: (-item[1], item[0])),
        colours=_colours([talk.speaker for talk in found.talks]),
        end_sample=end_sample,
        rate=SAMPLE_RATE,
        clock=lambda samples: clock(round(samples)),
        part=lambda samples: f"{samples / max(end_sample, 1):.4%}",
    )


@cache
def _template() -> jinja2.Template:
    import jinja2
    from markupsafe import Markup

    # Names come from other people, so everything that is inserted is escaped, as on the web page.
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        finalize=lambda value: value if isinstance(value, Markup) else Markup(escape(str(value))),
    )
    return environment.from_string(files("streamer.sinks").joinpath("minutes.html").read_text(encoding="utf-8"))


def _at(channels: Sequence[str], channel: int | None) -> str:
    return channels[channel] if channel is not None and channel < len(channels) else ""


def _colours(speakers: Sequence[str]) -> dict[str, str]:
    known = [speaker for speaker in speakers if not is_stranger(speaker)]
    colours = {speaker: COLOURS[number % len(COLOURS)] for number, speaker in enumerate(sorted(known))}
    return {speaker: colours.get(speaker, STRANGER) for speaker in speakers}

import io
import math

import numpy as np
import pytest
from rich.console import Console
from rich.text import Text

from streamer.audio.chunks import SAMPLE_RATE as S
from streamer.audio.chunks import Chunk
from streamer.sinks.base import SessionView
from streamer.sinks.terminal import TerminalView, summary
from streamer.speakers.events import GapEvent, Overload, Speaker, TurnEnd, Unknown


@pytest.fixture
def session():
    return SessionView("test", enrolled=2)


@pytest.fixture
def view():
    return TerminalView(Console(width=100, file=io.StringIO(), force_terminal=True), "test", clock=lambda: 0.0)


def shown(view):
    with view.console.capture() as captured:
        view.console.print(view.render())
    return Text.from_ansi(captured.get()).plain


def tell(view, session, *events):
    for event in events:
        session.timeline.hear(event)
        view.event(event, session)
    view._session = session


def named(kind, start, decided, speaker, turn, **values):
    return kind(sample=start * S, decided_sample=decided * S, turn=turn, speaker=speaker, confidence=0.9, **values)


ADA = named(Speaker, 10, 11, "ada", 1, score=0.7, runner_up="bob", margin=0.25, final=True)
ADA_ENDS = TurnEnd(sample=20 * S, decided_sample=21 * S, turn=1, start_sample=10 * S, speaker="ada", confidence=0.9)
GUEST = named(Unknown, 30, 32, "guest-1", 2)


def test_who_speaks_now_stands_at_the_top_with_how_sure_it_is(view, session):
    tell(view, session, ADA)
    assert "● ada  90%  ahead of bob by 0.25" in shown(view)
    tell(view, session, ADA_ENDS)
    assert "silence" in shown(view)
    tell(view, session, GUEST)
    assert "● guest-1  90%  (provisional)" in shown(view)


def test_the_last_minute_is_drawn_to_scale(view, session):
    tell(view, session, ADA, ADA_ENDS)
    session.timeline.advance(60 * S)
    row = next(line for line in shown(view).splitlines() if line.startswith("ada"))
    bar = row[15:81]
    assert bar.count("█") == pytest.approx(66 * 10 / 60, abs=1)
    assert bar.index("█") == pytest.approx(66 * 10 / 60, abs=1)
    assert row.rstrip().endswith("0:10.0 100%")


def test_what_is_provisional_is_shaded(view, session):
    tell(view, session, GUEST)
    session.timeline.advance(40 * S)
    row = next(line for line in shown(view).splitlines() if line.startswith("guest-1"))
    assert "▒" in row
    assert "█" not in row


def test_what_was_lost_is_counted(view, session):
    assert "nothing lost" in shown(view)
    tell(
        view,
        session,
        GapEvent(sample=0, end_sample=8 * S, decided_sample=8 * S, reason="device lost"),
        Overload(sample=9 * S, decided_sample=10 * S, skipped=4),
    )
    assert "8.0 s lost, 4 steps left out · 2 enrolled" in shown(view)


def test_the_meter_shows_the_level_of_the_sound(view):
    view.hear(Chunk(0, np.full(1600, 10 ** (-30 / 20), np.float32)))
    assert "-30 dB" in shown(view)
    assert shown(view).count("▮") == 16
    view.hear(Chunk(1600, np.zeros(1600, np.float32)))
    assert shown(view).count("▮") == 0
    assert view.level_db == -math.inf


def test_a_speaker_keeps_a_colour_and_strangers_are_grey(view):
    first = view.colour("ada")
    assert view.colour("guest-1") == view.colour("guest-2") == "bright_black"
    assert view.colour("bob") != first
    assert view.colour("ada") == first


def test_the_summary_counts_talk_time_and_turns(session):
    for event in (ADA, ADA_ENDS):
        session.timeline.hear(event)
    console = Console(width=80, file=io.StringIO())
    console.print(summary(session))
    assert console.file.getvalue().splitlines()[1].split() == ["ada", "0:10.0", "100%", "1"]

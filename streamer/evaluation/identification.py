"""Accuracy of a stream's names, weighted by time, against a reference of who spoke when.

Times are sample indices at 16 kHz; a turn is (start, end, speaker), and turns of a reference may overlap.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import SAMPLE_RATE
from streamer.rttm import LabelledTurn
from streamer.speakers.events import Correction, Event, Renamed, Speaker, TurnEnd, Unknown

#: Time is counted in steps of 10 ms.
STEP = 160
#: The name of any voice that is not enrolled.
STRANGER = "(stranger)"


@dataclass(frozen=True, slots=True)
class Identification:
    """Shares of the time in which somebody speaks, which sum to 1; and false alarms, in addition.

    right: the right name; in overlaps, that of any speaker. wrong: another name, for an enrolled speaker. missed: no
    name, or a guest's, for an enrolled speaker, or nothing at all for a stranger. false_name: an enrolled name for a
    stranger.
    false_alarm: a name while nobody speaks.
    speech_s, stranger_s: seconds that were counted, and those in which only strangers speak.
    rejected: share of the strangers' time without an enrolled name; NaN without strangers.
    """

    right: float
    wrong: float
    missed: float
    false_name: float
    false_alarm: float
    speech_s: float
    stranger_s: float
    rejected: float

    @property
    def error(self) -> float:
        """The identification error rate: wrong, missed and false names."""
        return self.wrong + self.missed + self.false_name


def identify(
    reference: Sequence[LabelledTurn],
    hypothesis: Sequence[LabelledTurn],
    enrolled: Collection[str],
    collar_s: float = 0.0,
) -> Identification:
    """Compare two time lines. `collar_s` seconds around each end of a reference turn are not counted."""
    length = max((end for _, end, _ in [*reference, *hypothesis]), default=0) // STEP + 1
    names = sorted({_known(who, enrolled) for _, _, who in [*reference, *hypothesis]})
    truth = _active(reference, names, enrolled, length)
    found = _active(hypothesis, names, enrolled, length)
    counted = np.ones(length, bool)
    for start, end, _ in reference:
        for edge in (start, end):
            counted[
                max(0, round((edge - collar_s * SAMPLE_RATE) / STEP)) : round((edge + collar_s * SAMPLE_RATE) / STEP)
            ] = False
    speech, silence = truth.any(0) & counted, ~truth.any(0) & counted
    stranger = np.array([name == STRANGER for name in names], bool)
    only_strangers = speech & ~truth[~stranger].any(0)
    right = speech & (truth & found).any(0)
    named = found[~stranger].any(0)
    false_name = only_strangers & named & ~right
    wrong = speech & ~only_strangers & named & ~right
    missed = speech & ~right & ~wrong & ~false_name
    total = max(1, int(speech.sum()))
    strangers = int(only_strangers.sum())
    parts = (right, wrong, missed, false_name, silence & found.any(0))
    right_share, wrong_share, missed_share, false_name_share, false_alarm = (float(p.sum()) / total for p in parts)
    return Identification(
        right=right_share,
        wrong=wrong_share,
        missed=missed_share,
        false_name=false_name_share,
        false_alarm=false_alarm,
        speech_s=int(speech.sum()) * STEP / SAMPLE_RATE,
        stranger_s=strangers * STEP / SAMPLE_RATE,
        rejected=1 - float(false_name.sum()) / strangers if strangers else math.nan,
    )


def _known(who: str, enrolled: Collection[str]) -> str:
    return who if who in enrolled else STRANGER


def _active(
    turns: Sequence[LabelledTurn], names: list[str], enrolled: Collection[str], length: int
) -> NDArray[np.bool_]:
    active = np.zeros((len(names), length), bool)
    for start, end, who in turns:
        active[names.index(_known(who, enrolled)), round(start / STEP) : round(end / STEP)] = True
    return active


def final_turns(events: Iterable[Event]) -> list[LabelledTurn]:
    """The final turns of a stream, with the last names of guests."""
    events = list(events)
    names = {event.previous: event.speaker for event in events if isinstance(event, Renamed)}

    def last(name: str) -> str:
        while name in names:
            name = names[name]
        return name

    return [(e.start_sample, e.sample, last(e.speaker)) for e in events if isinstance(e, TurnEnd)]


def shown_turns(events: Iterable[Event]) -> list[LabelledTurn]:
    """The turns on display: a name is shown from its decision until it is replaced or ends."""
    turns: list[LabelledTurn] = []
    since, showing = 0, ""
    #: The names of open turns. A second voice starts and ends within the turn of another.
    lasting: dict[int, str] = {}
    for event in events:
        if isinstance(event, Speaker | Unknown | Correction):
            lasting.pop(event.turn, None)
            lasting[event.turn] = event.speaker
        elif isinstance(event, TurnEnd):
            lasting.pop(event.turn, None)
        elif isinstance(event, Renamed):
            lasting = {turn: event.speaker if name == event.previous else name for turn, name in lasting.items()}
        else:
            continue
        name = next(reversed(lasting.values()), "")
        if name != showing:
            if showing and event.decided_sample > since:
                turns.append((since, event.decided_sample, showing))
            since, showing = event.decided_sample, name
    return turns


def delays_s(
    reference: Sequence[LabelledTurn], shown: Sequence[LabelledTurn], enrolled: Collection[str]
) -> list[float]:
    """For each turn of the reference, the time from its start until its speaker was shown; inf if never.

    A stranger counts as shown when any guest is.
    """
    delays = []
    for start, end, who in reference:
        wanted = _known(who, enrolled)
        seen = [max(since, start) for since, until, name in shown if _known(name, enrolled) == wanted and until > start]
        first = min(seen, default=math.inf)
        # A short turn may be over before its name is decided: a name up to a second later still counts.
        delays.append((first - start) / SAMPLE_RATE if first < end + SAMPLE_RATE else math.inf)
    return delays


def flips(reference: Sequence[LabelledTurn], shown: Sequence[LabelledTurn]) -> int:
    """How often the displayed name changed while one person spoke: within a reference turn, after the first name that
    was shown for it."""
    count = 0
    for start, end, _ in reference:
        # The previous name is still on display for a moment; it does not belong to this turn.
        names = [name for since, _, name in shown if start < since < end]
        count += sum(before != after for before, after in pairwise(names))
    return count

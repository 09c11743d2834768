"""Overlapping speech: where more than one person speaks, and who the two are.

The network gives each frame a probability that more than one person speaks. Averaged over several frames and compared
with two thresholds, these probabilities give stretches of overlap. In a stretch, the turns show which of the two has
the floor. The other is the person who speaks nearest to the stretch in time: the one who continued while another came
in, the one who came in, or, for a word beside a long turn, the last person heard. If nobody else was heard for a long
time, or if the overlap is not certain enough, the other voice is unknown, and no name is guessed.

The result for a stretch may change until it settles. Then the other voice's part is also reported as a turn, so that
a reader of turns gets both voices; an unknown voice gets a turn only if the overlap is certain.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import SAMPLE_RATE
from streamer.engine.window import Step
from streamer.models.grid import FrameGrid
from streamer.speakers.boundaries import SpeechBoundaries
from streamer.speakers.events import Event, Overlap, Renamed, Speaker, TurnEnd, Unknown
from streamer.speakers.floor import Floor
from streamer.speakers.names import UNKNOWN
from streamer.speakers.settings import TrackerSettings

#: A shorter dip does not split a stretch, and a shorter part of a stretch is not a turn.
SHORTEST_S = 0.1
#: The number of past turns to keep.
KEPT = 16
#: The prefix of the reason of a turn that is a voice beside another's.
BESIDE = "beside "


@dataclass(slots=True)
class Stretch:
    """A stretch of overlap: [start_sample, end_sample), without an end while it lasts.

    told: the last result that was reported: who has the floor, and who else speaks.
    """

    number: int
    start_sample: int
    end_sample: int | None = None
    confidence: float = 0.0
    told: tuple[str, str | None] | None = None


@dataclass(frozen=True, slots=True)
class TurnSpan:
    """A finished turn, or the current one up to now."""

    start_sample: int
    end_sample: int
    speaker: str

    def away(self, start: int, end: int) -> int:
        """The distance to a stretch in samples; 0 or less if they meet."""
        return max(self.start_sample - end, start - self.end_sample)


class Overlaps:
    """The overlaps of one stream."""

    def __init__(self, settings: TrackerSettings) -> None:
        self.settings = settings
        self.boundaries = SpeechBoundaries(
            settings.overlap_onset, settings.overlap_offset, settings.overlap_s, SHORTEST_S
        )
        self.stretches: list[Stretch] = []
        self.said: deque[TurnSpan] = deque(maxlen=KEPT)
        self.count = 0
        #: The last probabilities, which later averages still need, and the frame after them.
        self.tail: NDArray[np.float32] = _NO_FRAMES
        self.next_frame: int | None = None

    def hear(self, step: Step) -> None:
        """Process the new frames of a step."""
        if step.overlap is None:
            return
        width = 2 * (step.grid.frames_of(self.settings.overlap_smooth_s) // 2) + 1
        if step.first_frame != self.next_frame:
            self.tail = np.zeros(width - 1, np.float32)
        self.next_frame = step.first_frame + len(step.overlap)
        heard = np.concatenate([self.tail, step.overlap])
        self.tail = heard[len(heard) - (width - 1) :]
        self._follow(step.grid, step.first_frame - width // 2, np.convolve(heard, np.full(width, 1 / width), "valid"))

    def _follow(self, grid: FrameGrid, first: int, averages: NDArray[np.floating]) -> None:
        met = self.stretches[-1:] if self.boundaries.speaking else []
        for boundary in self.boundaries.update(grid, first, averages):
            if boundary.starts:
                self.count += 1
                met.append(Stretch(self.count, max(0, boundary.sample)))
                self.stretches.append(met[-1])
            else:
                self.stretches[-1].end_sample = boundary.sample
        for stretch in met:
            stretch.confidence = max(stretch.confidence, float(averages.max(initial=0.0)))

    def interrupt(self, sample: int) -> None:
        """The stream has a gap at `sample`, or ends."""
        self.next_frame = None
        if self.boundaries.interrupt():
            self.stretches[-1].end_sample = max(sample, self.stretches[-1].start_sample)

    def note(self, events: list[Event]) -> None:
        """Take note of new events about turns."""
        for event in events:
            if isinstance(event, TurnEnd):
                self.said.append(TurnSpan(event.start_sample, event.sample, event.speaker))
            elif isinstance(event, Renamed):
                renamed = {event.previous: event.speaker}
                self.said = deque(
                    (
                        TurnSpan(one.start_sample, one.end_sample, renamed.get(one.speaker, one.speaker))
                        for one in self.said
                    ),
                    maxlen=KEPT,
                )

    # Naming the voices

    def tell(self, floor: Floor, *, everything: bool = False) -> list[Event]:
        """The new events about stretches; `everything` settles all of them."""
        events: list[Event] = []
        said = self._said(floor) if self.stretches else []
        for stretch in list(self.stretches):
            end, heard = stretch.end_sample, floor.heard_sample
            over = end is not None and heard >= end + round(self.settings.overlap_settle_s * SAMPLE_RATE)
            final = over or everything
            two = _two(stretch, heard if end is None else end, said, self.settings)
            if final:
                self.stretches.remove(stretch)
                events.append(self._event(floor, stretch, two, final=True))
                events += self._beside(floor, stretch, two, said)
            elif two != stretch.told:
                stretch.told = two
                events.append(self._event(floor, stretch, two, final=False))
        return events

    def _said(self, floor: Floor) -> list[TurnSpan]:
        """The turns of speakers who still exist under their names, including the current turn."""
        turn, candidates = floor.turn, floor.candidates
        said = [one for one in self.said if one.speaker == UNKNOWN or candidates.knows(one.speaker)]
        if turn is not None and turn.label is not None:
            said.append(TurnSpan(turn.start_sample, max(floor.heard_sample, turn.start_sample), turn.label))
        return said

    def _event(self, floor: Floor, stretch: Stretch, two: tuple[str, str | None], *, final: bool) -> Event:
        return Overlap(
            sample=stretch.start_sample,
            end_sample=stretch.end_sample,
            decided_sample=floor.heard_sample,
            overlap=stretch.number,
            speaker=two[0],
            other=two[1],
            confidence=min(1.0, stretch.confidence),
            final=final,
        )

    def _beside(self, floor: Floor, stretch: Stretch, two: tuple[str, str | None], said: list[TurnSpan]) -> list[Event]:
        """The parts of a stretch that the turns of the two do not cover, as turns. An unknown voice gets one only if
        the overlap is certain."""
        events: list[Event] = []
        start, end = stretch.start_sample, stretch.end_sample
        first, second = two
        if second is None and stretch.confidence >= self.settings.overlap_unknown:
            second = UNKNOWN
        if end is None or second is None or second == first:
            return events
        for who, beside in ((first, second), (second, first)):
            own = sorted((one.start_sample, one.end_sample) for one in said if one.speaker == who)
            for part in _left(start, end, own):
                events += _as_turn(floor, part, who, beside, stretch.confidence)
        return events

    # State

    def snapshot(self) -> dict[str, Any]:
        return {
            "boundaries": self.boundaries.snapshot(),
            "stretches": list(self.stretches),
            "said": list(self.said),
            "count": self.count,
            "tail": self.tail,
            "next_frame": self.next_frame,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        self.boundaries.restore(snapshot["boundaries"])
        self.stretches = [
            Stretch(**{**saved, "told": saved["told"] and tuple(saved["told"])}) for saved in snapshot["stretches"]
        ]
        self.said = deque((TurnSpan(**saved) for saved in snapshot["said"]), maxlen=KEPT)
        self.count, self.tail, self.next_frame = snapshot["count"], snapshot["tail"], snapshot["next_frame"]


_NO_FRAMES = np.zeros(0, np.float32)


def _two(stretch: Stretch, end: int, said: list[TurnSpan], settings: TrackerSettings) -> tuple[str, str | None]:
    """Who has the floor in a stretch (unknown if nobody has a name yet), and who speaks nearest to it beside them."""
    start = stretch.start_sample
    there = [one for one in said if one.away(start, end) < 0]
    if not there:
        return UNKNOWN, None
    first = max(there, key=lambda one: min(one.end_sample, end) - max(one.start_sample, start)).speaker
    # A turn that meets the stretch always counts. A turn that does not counts only if the overlap is certain.
    near = settings.overlap_near_s * SAMPLE_RATE if stretch.confidence >= settings.overlap_sure else 0
    others = [one for one in said if one.speaker != first and one.away(start, end) <= near]
    # If several are equally near, take the one who spoke last.
    nearest = min(others, key=lambda one: (max(0, one.away(start, end)), -one.end_sample), default=None)
    return first, None if nearest is None else nearest.speaker


def _left(start: int, end: int, own: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The parts of [start, end) that none of these spans cover, in order, without parts too short for a turn."""
    parts, position = [], start
    for a, b in [*own, (end, end)]:
        if min(a, end) - position >= SHORTEST_S * SAMPLE_RATE:
            parts.append((position, min(a, end)))
        position = max(position, b)
    return parts


def _as_turn(floor: Floor, part: tuple[int, int], who: str, beside: str, confidence: float) -> list[Event]:
    """A voice beside another's, as a finished turn."""
    start, end = part
    common: dict[str, Any] = {
        "decided_sample": floor.heard_sample,
        "turn": floor.next_number(),
        "speaker": who,
        "confidence": confidence,
        "reason": f"{BESIDE}{beside}",
    }
    if floor.roster.index(who) is None:
        named: Event = Unknown(sample=start, final=True, **common)
    else:
        named = Speaker(sample=start, final=True, score=floor.score(part, who), **common)
    return [named, TurnEnd(sample=end, start_sample=start, **common)]

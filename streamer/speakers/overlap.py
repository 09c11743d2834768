"""Two at once: where more than one speaks, and who the two are.

Frames say how likely it is that more than one speaks. Averaged over some of them, with two thresholds, they make
stretches. In a stretch one of the two has the floor, by the turns; the other is whoever speaks nearest to it in time:
who went on while another came in, who came in, or, of a word beside a long turn, who was heard last. Where nobody else
was heard for long, or it is not sure enough that two speak, it is somebody else, and nobody is guessed.

What is said of a stretch may change until it settles. Then the other's share of it is told as a turn as well, so that
whoever reads turns has both; a turn of nobody known, where it is sure that two speak.
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

#: A shorter dip does not part two stretches, and a shorter part of one is no turn.
SHORTEST_S = 0.1
#: Turns that are remembered.
KEPT = 16
#: How the reason of a turn begins that is a voice beside another's.
BESIDE = "beside "


@dataclass(slots=True)
class Stretch:
    """Where more than one speaks: [start_sample, end_sample), with no end while it lasts.

    told: what was last said of it: who has the floor, and who else speaks.
    """

    number: int
    start_sample: int
    end_sample: int | None = None
    confidence: float = 0.0
    told: tuple[str, str | None] | None = None


@dataclass(frozen=True, slots=True)
class TurnSpan:
    """A turn that is over, or how far the present one has come."""

    start_sample: int
    end_sample: int
    speaker: str

    def away(self, start: int, end: int) -> int:
        """How many samples lie between it and a stretch; 0 or less where they meet."""
        return max(self.start_sample - end, start - self.end_sample)


class Overlaps:
    """Those of one stream."""

    def __init__(self, settings: TrackerSettings) -> None:
        self.settings = settings
        self.boundaries = SpeechBoundaries(
            settings.overlap_onset, settings.overlap_offset, settings.overlap_s, SHORTEST_S
        )
        self.stretches: list[Stretch] = []
        self.said: deque[TurnSpan] = deque(maxlen=KEPT)
        self.count = 0
        #: The last probabilities, of which averages are still to be made, and the frame after them.
        self.tail: NDArray[np.float32] = _NO_FRAMES
        self.next_frame: int | None = None

    def hear(self, step: Step) -> None:
        """The new frames of a step."""
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
        """What was decided about turns meanwhile."""
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

    # Saying who

    def tell(self, floor: Floor, *, everything: bool = False) -> list[Event]:
        """What there is to say of the stretches; `everything` settles all of them."""
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
        """The turns of those who are still known by their names, the present one among them."""
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
        """What of a stretch the turns of the two leave out, as turns; of somebody else too, only where it is sure."""
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
    """Who has the floor in a stretch, unknown where nobody with a name has it yet, and who speaks nearest to it beside
    them."""
    start = stretch.start_sample
    there = [one for one in said if one.away(start, end) < 0]
    if not there:
        return UNKNOWN, None
    first = max(there, key=lambda one: min(one.end_sample, end) - max(one.start_sample, start)).speaker
    # Whose turn meets the stretch is known by that; whose does not, only if the stretch is no mistake itself.
    near = settings.overlap_near_s * SAMPLE_RATE if stretch.confidence >= settings.overlap_sure else 0
    others = [one for one in said if one.speaker != first and one.away(start, end) <= near]
    # Of those who are as near, the one who spoke last.
    nearest = min(others, key=lambda one: (max(0, one.away(start, end)), -one.end_sample), default=None)
    return first, None if nearest is None else nearest.speaker


def _left(start: int, end: int, own: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """What of [start, end) lies in none of these, in their order; what is too short for a turn is left out."""
    parts, position = [], start
    for a, b in [*own, (end, end)]:
        if min(a, end) - position >= SHORTEST_S * SAMPLE_RATE:
            parts.append((position, min(a, end)))
        position = max(position, b)
    return parts


def _as_turn(floor: Floor, part: tuple[int, int], who: str, beside: str, confidence: float) -> list[Event]:
    """A voice beside another's, as a turn that is over."""
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

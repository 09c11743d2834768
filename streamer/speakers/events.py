"""The events of a stream, with the names of the protocol.

Every time is an integer sample index at 16 kHz from the stream's start; `to_dict` adds the seconds for people.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from streamer.audio.chunks import SAMPLE_RATE


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something was decided about the stream at `sample`: the position it speaks of, not when it was decided.

    decided_sample: how far the stream had been heard when this was decided; `decided_sample - sample` is the delay.
    reason: why, in a few words. channel: which of a room's microphones hears it best; None if there is only one.
    """

    type: ClassVar[str]
    sample: int
    decided_sample: int
    reason: str = ""
    channel: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """A JSON object: `type`, every field (`channel` only in a room), and `time` (seconds)."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.channel is None:
            del values["channel"]
        return {"type": self.type, "time": self.sample / SAMPLE_RATE, **values}


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStart(Event):
    """Somebody starts to speak."""

    type: ClassVar[str] = "speech_start"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechEnd(Event):
    """Speech that began at `start_sample` ends."""

    type: ClassVar[str] = "speech_end"
    start_sample: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker(Event):
    """From `sample` on, `speaker` speaks, who is enrolled.

    confidence: posterior probability (0 to 1). score: cosine similarity of the best evidence. runner_up, margin: the
    next best enrolled speaker, if any, and by how much of the score it lost. final: no later correction will come.
    turn: number of the turn in the stream, shared by its provisional, final and correction events.
    """

    type: ClassVar[str] = "speaker"
    turn: int
    speaker: str
    confidence: float
    score: float
    runner_up: str | None = None
    margin: float | None = None
    final: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction(Speaker):
    """A provisional label of this turn was wrong: it was `previous`, it is `speaker` (an enrolled one or a guest)."""

    type: ClassVar[str] = "correction"
    previous: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown(Event):
    """From `sample` on, somebody speaks who is not enrolled; `speaker` is their stable name, guest-1, guest-2, ..."""

    type: ClassVar[str] = "unknown"
    turn: int
    speaker: str
    confidence: float
    score: float | None = None
    runner_up: str | None = None
    final: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ambiguous(Event):
    """Somebody speaks from `sample` on, and the evidence does not decide between `candidates`."""

    type: ClassVar[str] = "ambiguous"
    turn: int
    candidates: tuple[str, ...]
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnEnd(Event):
    """The turn that began at `start_sample` ended at `sample`; the label is final."""

    type: ClassVar[str] = "turn_end"
    turn: int
    start_sample: int
    speaker: str
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap(Event):
    """More than one speaks, from `sample` to `end_sample`, which is None while it lasts: `speaker`, who has the floor,
    and `other`; None if the other voice is not known.

    overlap: number of the stretch in the stream, shared by all that is said of it. confidence: how likely it is that
    more than one speaks. final: no later event will change it; the other's share of it is a turn as well.
    """

    type: ClassVar[str] = "overlap"
    overlap: int
    end_sample: int | None
    speaker: str
    other: str | None
    confidence: float
    final: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GapEvent(Event):
    """The samples [sample, end_sample) never arrived."""

    type: ClassVar[str] = "gap"
    end_sample: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(Event):
    """Something about the sound itself that the listener should know, once.

    code: for programs: "inverted_channels" (channels cancel each other; one of them is used alone). message: for
    people.
    """

    type: ClassVar[str] = "notice"
    code: str
    message: str

    @classmethod
    def at(cls, sample: int, code: str, message: str) -> Notice:
        """What was found up to `sample`, and is said there."""
        return cls(sample=sample, decided_sample=sample, code=code, message=message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload(Event):
    """The engine fell behind and left out `skipped` steps before `sample`."""

    type: ClassVar[str] = "overload"
    skipped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Renamed(Event):
    """Everything said so far of `previous`, a guest, was `speaker`: somebody named the guest, or it was the same
    voice."""

    type: ClassVar[str] = "renamed"
    speaker: str
    previous: str

"""The events of a stream, with the names of the protocol.

Every time is an integer sample index at 16 kHz from the stream's start; `to_dict` adds seconds for people.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from streamer.audio.chunks import SAMPLE_RATE


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A decision about the stream. `sample` is the position it is about, not when it was made.

    decided_sample: how far the stream had been heard at the decision; `decided_sample - sample` is the delay.
    reason: why, in a few words. channel: the microphone of a room that hears it best; None if there is only one.
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
    """From `sample` on, the enrolled speaker `speaker` speaks.

    confidence: posterior probability (0 to 1). score: cosine similarity of the best evidence. runner_up, margin: the
    second-best enrolled speaker, if any, and the difference in score. final: no later correction will come.
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
    """An earlier label of this turn was wrong: `previous` is replaced by `speaker` (an enrolled speaker or a guest)."""

    type: ClassVar[str] = "correction"
    previous: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown(Event):
    """From `sample` on, a person speaks who is not enrolled; `speaker` is their stable name, guest-1, guest-2, ..."""

    type: ClassVar[str] = "unknown"
    turn: int
    speaker: str
    confidence: float
    score: float | None = None
    runner_up: str | None = None
    final: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ambiguous(Event):
    """A person speaks from `sample` on, and the evidence does not decide between `candidates`."""

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
    """More than one person speaks, from `sample` to `end_sample`, which is None while the overlap lasts.

    `speaker` has the floor. `other` is the second voice, None if unknown.

    overlap: number of the overlap in the stream, shared by all its events. confidence: the probability that more than
    one speaks. final: no later event will change it; the other voice's part is also a turn.
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
    """A property of the sound that the listener should know, reported once.

    code: for programs: "inverted_channels" (channels cancel each other; one of them is used alone). message: for
    people.
    """

    type: ClassVar[str] = "notice"
    code: str
    message: str

    @classmethod
    def at(cls, sample: int, code: str, message: str) -> Notice:
        """A notice about the audio up to `sample`, reported at that position."""
        return cls(sample=sample, decided_sample=sample, code=code, message=message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload(Event):
    """The engine fell behind and left out `skipped` steps before `sample`."""

    type: ClassVar[str] = "overload"
    skipped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Renamed(Event):
    """Replaces the guest `previous` by `speaker` in all earlier events: the guest was named, or is the same voice."""

    type: ClassVar[str] = "renamed"
    speaker: str
    previous: str

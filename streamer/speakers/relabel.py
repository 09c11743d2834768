"""Corrects a wrong name in the events of a stream, as written by `--json`: the turns stay, the speaker changes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from streamer.audio.chunks import SAMPLE_RATE
from streamer.errors import ConfigurationError, TranscriptUnreadable
from streamer.speakers import events as kinds
from streamer.speakers.events import Event
from streamer.speakers.names import clean_name, is_stranger
from streamer.speakers.timeline import Span, Timeline, clock

#: The reason given for a name that was corrected by hand.
REASON = "put right by hand"

_KINDS: dict[str, type[Event]] = {
    kind.type: kind
    for kind in (
        kinds.SpeechStart,
        kinds.SpeechEnd,
        kinds.Speaker,
        kinds.Correction,
        kinds.Unknown,
        kinds.Ambiguous,
        kinds.TurnEnd,
        kinds.GapEvent,
        kinds.Notice,
        kinds.Overload,
        kinds.Renamed,
    )
}
_CLOCK = re.compile(r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d+)?)s?")

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Transcript:
    """The content of a stream's events.

    messages: every line, unchanged. turns: who spoke when, in order, with the final names; a turn's number is its index
    here. origins: the turn number for each message of a turn. end_sample: how far the stream was heard.
    """

    messages: list[Message]
    turns: list[Span]
    origins: dict[int, int]
    end_sample: int

    def at(self, sample: int) -> Span:
        """The turn at a position; if there are several, the one that began last.

        Raises ConfigurationError, with the nearest turns, if nobody speaks there.
        """
        ends = {span.turn: self.end_sample if span.end_sample is None else span.end_sample for span in self.turns}
        there = [span for span in self.turns if span.start_sample <= sample < ends[span.turn]]
        if there:
            return there[-1]
        near = sorted(self.turns, key=lambda span: max(span.start_sample - sample, sample - ends[span.turn]))[:2]
        said = "; ".join(
            f"{span.speaker} from {clock(span.start_sample)} to {clock(ends[span.turn])}"
            for span in sorted(near, key=lambda span: span.start_sample)
        )
        raise ConfigurationError(f"nobody speaks at {clock(sample)}. Nearest to it: {said or 'no turn at all'}.")

    def called(self, speaker: str) -> list[Span]:
        """All turns of one speaker."""
        return [span for span in self.turns if span.speaker == speaker]


def position_of(text: str) -> int:
    """Convert a time to a sample: 54, 54.5, 0:54 or 1:02:03.5. Raises ConfigurationError if it is not a time."""
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        raise ConfigurationError(f"{text!r} is not a time; write it as 54, 0:54 or 1:02:03.5.")
    hours, minutes, seconds = match.groups()
    return round((int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds)) * SAMPLE_RATE)


def read(path: Path) -> Transcript:
    """Read a file of JSON lines. Raises TranscriptUnreadable, with the line number, if a line is not one of our events,
    and OSError if the file cannot be read.
    """
    messages: list[Message] = []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise TranscriptUnreadable(f"'{path.name}' is not UTF-8 text ({error.reason} at {error.start}).") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                messages.append(_message(json.loads(line)))
            except (ValueError, TypeError) as error:
                raise TranscriptUnreadable(
                    f"'{path.name}', line {number}: not an event of streamer ({error}); `streamer run FILE --json` "
                    "writes them."
                ) from None
    if not any(message["type"] in _KINDS for message in messages):
        raise TranscriptUnreadable(f"'{path.name}' has no events; `streamer run FILE --json` writes them.")
    return told(messages)


def told(messages: Sequence[Message]) -> Transcript:
    """The transcript of events in the order in which they came."""
    timeline = Timeline()
    numbers: dict[tuple[int, int], int] = {}
    origins: dict[int, int] = {}
    begun = 0
    for place, message in enumerate(messages):
        # After a server loses a session, turn numbers start again.
        begun += message["type"] == "restart"
        if message["type"] not in _KINDS:
            continue
        event = _event(message)
        if "turn" in message:
            number = numbers.setdefault((begun, message["turn"]), len(numbers))
            origins[place] = number
            event = _event(message | {"turn": number})
        timeline.hear(event)
    turns = sorted(timeline.everything(), key=lambda span: (span.start_sample, span.turn))
    return Transcript(list(messages), turns, origins, timeline.now_sample)


def relabelled(transcript: Transcript, turns: Iterable[Span], name: str) -> Transcript:
    """The transcript with these turns given to another speaker: final, and from the start of each turn.

    name: a person, or a name for strangers. Raises ConfigurationError if it is not a valid name.
    """
    name = name if is_stranger(name) else clean_name(name)
    changed = {span.turn for span in turns}
    messages = []
    for place, message in enumerate(transcript.messages):
        if transcript.origins.get(place) not in changed:
            messages.append(message)
        elif (put_right := _put_right(message, name)) is not None:
            messages.append(put_right)
    return told(messages)


def _put_right(message: Message, name: str) -> Message | None:
    """The corrected message; None if it no longer applies, such as a doubt or an outdated correction."""
    if message["type"] == "turn_end":
        return message | {"speaker": name, "confidence": 1.0, "reason": REASON}
    if message["type"] not in ("speaker", "unknown"):
        return None
    kind = kinds.Unknown if is_stranger(name) else kinds.Speaker
    known = {item.name for item in fields(kind)} | {"type", "time", "channel"}
    certain = {"speaker": name, "confidence": 1.0, "final": True, "reason": REASON, "runner_up": None, "margin": None}
    new = message | certain | {"type": kind.type}
    if kind is kinds.Speaker and new.get("score") is None:
        new["score"] = 0.0
    return {field: value for field, value in new.items() if field in known}


def _message(value: Any) -> Message:
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise TypeError("it has no type")
    if value["type"] in _KINDS:
        _event(value)
    return value


def _event(message: Message) -> Event:
    """Raises TypeError or ValueError if a field is missing or has the wrong type."""
    kind = _KINDS[message["type"]]
    given = {item.name: message[item.name] for item in fields(kind) if item.name in message}
    for item in fields(kind):
        if item.name not in given and item.default is MISSING:
            raise TypeError(f"{message['type']} has no {item.name}")
        if item.name in given and item.type == "int" and type(given[item.name]) is not int:
            raise TypeError(f"{item.name} = {given[item.name]!r} is no whole number")
        if item.name in given and item.type == "str" and not isinstance(given[item.name], str):
            raise TypeError(f"{item.name} = {given[item.name]!r} is no text")
        if item.name in given and item.type == "float" and not isinstance(given[item.name], int | float):
            raise TypeError(f"{item.name} = {given[item.name]!r} is no number")
    return kind(**given)

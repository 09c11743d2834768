"""Assigns the words of a transcript to speakers: a word goes to the person who speaks for most of it.

Transcripts: JSON as Whisper and others write it (segments or words with start and end in seconds), SubRip, WebVTT.
Events: JSON lines, RTTM or WebVTT written by this package.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from streamer.audio.chunks import SAMPLE_RATE
from streamer.errors import TranscriptUnreadable

#: A word outside every turn goes to the nearest one, up to this distance.
NEAR_S = 1.0
#: A subtitle line ends at a pause of this length, and lasts no longer than the second value, unless it is one word.
PAUSE_S, LONGEST_S = 1.5, 15.0

_TIME = r"(?:(\d+):)?(\d{1,2}):(\d{2})[.,](\d{1,3})"
_CUE = re.compile(rf"^{_TIME}\s+-->\s+{_TIME}")
_TAG = re.compile(r"<[^>]*>")
#: The beginning of a transcript, or of a file of turns.
_WORDS_BEGIN = re.compile(r"^\s*(?:[{[]\s*(?:[\"{\]}]|$)|WEBVTT|\d+\s*$|(?:\d+:)?\d{1,2}:\d{2}[.,]\d)", re.MULTILINE)
_TURNS_BEGIN = re.compile(r"^\s*(?:\{\s*\"|WEBVTT|SPEAKER\s)", re.MULTILINE)
_VOICE = re.compile(r"^<v(?:\.\S+)?\s+([^>]*)>")


@dataclass(frozen=True, slots=True)
class Word:
    """A word, or a line of a subtitle: [start_s, end_s) seconds. group: the number of its segment or cue."""

    start_s: float
    end_s: float
    text: str
    group: int = 0
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class NamedTurn:
    start_s: float
    end_s: float
    speaker: str


def assign(words: Sequence[Word], turns: Iterable[NamedTurn], near_s: float = NEAR_S) -> list[Word]:
    """The words with their speakers: the person who speaks for the longest part of a word; outside all turns, the
    speaker of the nearest turn, up to `near_s`; else None. Of equal candidates, the one whose turn began first."""
    ordered = sorted(turns, key=lambda turn: (turn.start_s, turn.end_s))
    starts = [turn.start_s for turn in ordered]
    longest = max((turn.end_s - turn.start_s for turn in ordered), default=0.0)
    found = []
    for word in words:
        first = bisect_left(starts, word.start_s - longest - near_s)
        last = bisect_left(starts, word.end_s + near_s + 1e-9)
        found.append(replace(word, speaker=_speaker(word, ordered[first:last], near_s)))
    return found


def _speaker(word: Word, turns: Sequence[NamedTurn], near_s: float) -> str | None:
    shared: dict[str, float] = {}
    for turn in turns:
        overlap = min(word.end_s, turn.end_s) - max(word.start_s, turn.start_s)
        if overlap > 0:
            shared[turn.speaker] = shared.get(turn.speaker, 0.0) + overlap
    if shared:
        return max(shared, key=lambda speaker: shared[speaker])
    distances = [max(turn.start_s - word.end_s, word.start_s - turn.end_s, 0.0) for turn in turns]
    nearest = min(range(len(turns)), key=lambda i: distances[i], default=None)
    return None if nearest is None or distances[nearest] > near_s else turns[nearest].speaker


def read_words(path: Path, skipped: Callable[[int], None] = lambda lines: None) -> list[Word]:
    """Read a transcript. skipped: called with the number of lines before it, which some programs print.

    Raises TranscriptUnreadable if it is not one, FileNotFoundError and other OSErrors.
    """
    text = _begun(_text(path), _WORDS_BEGIN, skipped)
    words = _json_words(path, text) if text.lstrip()[:1] in ("{", "[") else list(_cues(path, text))
    if not words:
        raise TranscriptUnreadable(f"'{path.name}' has no words with times: JSON with segments, SRT and VTT are read.")
    return words


def read_turns(path: Path, skipped: Callable[[int], None] = lambda lines: None) -> list[NamedTurn]:
    """Read turns in this package's formats. skipped: as for `read_words`. Raises TranscriptUnreadable, and OSErrors."""
    text = _begun(_text(path), _TURNS_BEGIN, skipped)
    if text.startswith("WEBVTT"):
        turns = [NamedTurn(cue.start_s, cue.end_s, cue.speaker) for cue in _cues(path, text) if cue.speaker]
    elif text.lstrip().startswith("{"):
        turns = _events(path, text)
    else:
        turns = list(_rttm(path, text))
    if not turns:
        raise TranscriptUnreadable(f"'{path.name}' has no turns: JSON lines of streamer, RTTM and its VTT are read.")
    return turns


def write(words: Sequence[Word], kind: str) -> str:
    """Words with speakers as "json", "srt", "vtt" or "txt". A new line begins with each group, with each speaker, and
    after each pause."""
    if kind == "json":
        rows = [
            {"start": word.start_s, "end": word.end_s, "text": word.text, "speaker": word.speaker} for word in words
        ]
        return json.dumps({"words": rows}, ensure_ascii=False, indent=1) + "\n"
    lines = list(_lines(words))
    if kind == "srt":
        return "".join(
            f"{number}\n{_clock(line.start_s, ',')} --> {_clock(line.end_s, ',')}\n{_said(line)}\n\n"
            for number, line in enumerate(lines, 1)
        )
    if kind == "vtt":
        return "WEBVTT\n\n" + "".join(
            f"{_clock(line.start_s, '.')} --> {_clock(line.end_s, '.')}\n{_voice(line)}\n\n" for line in lines
        )
    return "".join(f"{_said(line)}\n" for line in lines)


def _lines(words: Sequence[Word]) -> Iterator[Word]:
    line: Word | None = None
    for word in words:
        together = line is not None and (word.speaker, word.group) == (line.speaker, line.group)
        if (
            line is not None
            and together
            and word.start_s - line.end_s < PAUSE_S
            and word.end_s - line.start_s <= LONGEST_S
        ):
            line = replace(line, end_s=max(line.end_s, word.end_s), text=f"{line.text} {word.text}")
            continue
        if line is not None:
            yield line
        line = word
    if line is not None:
        yield line


def _said(line: Word) -> str:
    return f"{line.speaker}: {line.text}" if line.speaker else line.text


def _voice(line: Word) -> str:
    def escaped(text: str) -> str:
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    return f"<v {escaped(line.speaker)}>{escaped(line.text)}" if line.speaker else escaped(line.text)


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{milliseconds // 1000:02d}{point}{milliseconds % 1000:03d}"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise TranscriptUnreadable(f"'{path.name}' is not UTF-8 text ({error.reason} at {error.start}).") from None


def _begun(text: str, beginning: re.Pattern[str], skipped: Callable[[int], None]) -> str:
    """The text from its beginning on: other output of the program before it is skipped."""
    found = beginning.search(text)
    if found is None:
        return text
    head, rest = text[: found.start()], text[found.start() :].lstrip()
    if lines := [line for line in head.splitlines() if line.strip()]:
        skipped(len(lines))
    return rest


def _json_words(path: Path, text: str) -> list[Word]:
    """Words, or segments with words in them (Whisper, WhisperX, faster-whisper), or segments alone."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise TranscriptUnreadable(f"'{path.name}' begins like JSON but is none: {error}.") from None
    items = data if isinstance(data, list) else data.get("segments") or data.get("words") or data.get("word_segments")
    words: list[Word] = []
    for group, item in enumerate(items or []):
        inside = item.get("words") if isinstance(item, dict) else None
        # Words without segments are split into lines by speaker and by pauses.
        alone = isinstance(item, dict) and "word" in item
        for word in inside or [item]:
            words += _json_word(word, 0 if alone else group)
    return words


def _json_word(item: Any, group: int) -> list[Word]:
    if not isinstance(item, dict):
        return []
    start, end = item.get("start"), item.get("end")
    text = str(item.get("word") or item.get("text") or "").strip()
    # Some aligners give no times for numbers and symbols: those words cannot be placed.
    if not text or not isinstance(start, int | float) or not isinstance(end, int | float):
        return []
    return [Word(float(start), max(float(start), float(end)), text, group)]


def _cues(path: Path, text: str) -> Iterator[Word]:
    """SubRip and WebVTT: the same blocks, except for the decimal point, numbers and tags."""
    for group, block in enumerate(re.split(r"\n\s*\n", text)):
        lines = block.strip().split("\n")
        place = next((i for i, line in enumerate(lines) if "-->" in line), None)
        if place is None:
            continue
        if (match := _CUE.match(lines[place].strip())) is None:
            raise TranscriptUnreadable(f"'{path.name}': {lines[place].strip()!r} is not a time span of SRT or VTT.")
        said = " ".join(line.strip() for line in lines[place + 1 :])
        voice = _VOICE.match(said)
        plain = _TAG.sub("", said)
        for sign, character in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
            plain = plain.replace(sign, character)
        times = match.groups()
        if plain.strip():
            yield Word(_seconds(times[:4]), _seconds(times[4:]), plain.strip(), group, voice[1] if voice else None)


def _seconds(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, fraction = parts
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0) + float(f"0.{fraction}")


def turns_of(events: Iterable[Mapping[str, Any]]) -> list[NamedTurn]:
    """Turns that ended, with the final names of guests.

    Raises KeyError, TypeError or AttributeError for an object that is not an event.
    """
    turns: list[NamedTurn] = []
    for event in events:
        if event.get("type") == "turn_end":
            start, end = event["start_sample"] / SAMPLE_RATE, event["sample"] / SAMPLE_RATE
            turns.append(NamedTurn(start, end, str(event["speaker"])))
        elif event.get("type") == "renamed":
            old, new = event["previous"], event["speaker"]
            turns = [replace(turn, speaker=new) if turn.speaker == old else turn for turn in turns]
    return [turn for turn in turns if turn.end_s > turn.start_s]


def _events(path: Path, text: str) -> list[NamedTurn]:
    events = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            event = json.loads(line) if line.strip() else {}
            turns_of([event])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise TranscriptUnreadable(f"'{path.name}', line {number}: not an event of streamer.") from None
        events.append(event)
    return turns_of(events)


def _rttm(path: Path, text: str) -> Iterator[NamedTurn]:
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if not fields or fields[0] != "SPEAKER":
            continue
        try:
            start, length, speaker = float(fields[3]), float(fields[4]), fields[7]
        except (ValueError, IndexError):
            raise TranscriptUnreadable(f"'{path.name}', line {number}: not a line of RTTM.") from None
        yield NamedTurn(start, start + length, speaker)

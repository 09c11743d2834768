"""Statistics of a meeting's turns: how long each person spoke, and who interrupted whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from streamer.audio.chunks import SAMPLE_RATE
from streamer.speakers.timeline import Span

#: Overlaps shorter than this only mean that two turns follow each other closely.
OVERLAP_S = 0.3


@dataclass(frozen=True, slots=True)
class Talk:
    """One speaker: seconds in total, their share of all speech, and their turns (mean and longest in seconds)."""

    speaker: str
    seconds: float
    share: float
    turns: int
    mean_s: float
    longest_s: float


@dataclass(frozen=True, slots=True)
class Statistics:
    """talks: longest total first. interruptions: (who, whom) -> how often. overlap_s: seconds with two or more."""

    talks: tuple[Talk, ...]
    interruptions: dict[tuple[str, str], int]
    spoken_s: float
    overlap_s: float
    length_s: float


def statistics(spans: Iterable[Span], end_sample: int) -> Statistics:
    """The statistics of the turns of a meeting that lasted until `end_sample`.

    A person interrupts another by starting while the other speaks, and going on after the other has stopped, if both
    speak at once for at least 0.3 s. Backchannels within another's turn are no interruptions.
    """
    turns = sorted(
        (
            (span.start_sample, end_sample if span.end_sample is None else span.end_sample, span.speaker)
            for span in spans
        ),
    )
    turns = [turn for turn in turns if turn[1] > turn[0]]
    seconds: dict[str, list[float]] = {}
    for start, end, speaker in turns:
        seconds.setdefault(speaker, []).append((end - start) / SAMPLE_RATE)
    total = sum(map(sum, seconds.values())) or 1.0
    talks = [
        Talk(speaker, sum(own), sum(own) / total, len(own), sum(own) / len(own), max(own))
        for speaker, own in seconds.items()
    ]
    spoken, overlap = _coverage(turns)
    return Statistics(
        tuple(sorted(talks, key=lambda talk: (-talk.seconds, talk.speaker))),
        dict(_interruptions(_joined(turns))),
        spoken / SAMPLE_RATE,
        overlap / SAMPLE_RATE,
        end_sample / SAMPLE_RATE,
    )


def _joined(turns: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Join turns of one speaker where one begins at the end of the other: an overlap splits a turn in the time line."""
    found: list[tuple[int, int, str]] = []
    last: dict[str, int] = {}
    for start, end, speaker in turns:
        place = last.get(speaker)
        if place is not None and found[place][1] >= start:
            found[place] = (found[place][0], max(found[place][1], end), speaker)
            continue
        last[speaker] = len(found)
        found.append((start, end, speaker))
    return found


def _interruptions(turns: list[tuple[int, int, str]]) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for i, (start, end, speaker) in enumerate(turns):
        for other_start, other_end, other in turns[i + 1 :]:
            if other_start >= end:
                break
            together_s = (min(end, other_end) - other_start) / SAMPLE_RATE
            if other != speaker and other_start > start and other_end > end and together_s >= OVERLAP_S:
                found[other, speaker] += 1
    return found


def _coverage(turns: list[tuple[int, int, str]]) -> tuple[int, int]:
    """Samples with at least one speaker, and samples with two or more."""
    edges = sorted([(start, 1) for start, _, _ in turns] + [(end, -1) for _, end, _ in turns])
    spoken = overlap = speaking = last = 0
    for sample, change in edges:
        spoken += (sample - last) * (speaking > 0)
        overlap += (sample - last) * (speaking > 1)
        speaking, last = speaking + change, sample
    return spoken, overlap

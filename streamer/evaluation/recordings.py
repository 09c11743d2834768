"""Evaluation on real recordings with known turns.

Each recording is followed as it is and through other conditions, with nobody enrolled. It is also followed half by
half: some speakers are enrolled from the reference turns of one half, and the other half is scored; a speaker who is
not enrolled is a stranger in the same room.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from streamer.audio.chunks import SAMPLE_RATE
from streamer.engine.incremental import IncrementalModel
from streamer.errors import ConfigurationError
from streamer.evaluation.conditions import parse_condition
from streamer.evaluation.diarisation import DiarisationErrors, errors, mapping
from streamer.evaluation.identification import Identification, delays_s, identify, shown_turns
from streamer.evaluation.manifest import Float32, read_audio
from streamer.evaluation.overlap import Found
from streamer.evaluation.stream import enrolled, follow, steps_of
from streamer.rttm import LabelledTurn, read_rttm
from streamer.speakers.backend import Backend
from streamer.speakers.events import Event, Overlap, Renamed, TurnEnd
from streamer.speakers.names import UNKNOWN
from streamer.speakers.overlap import BESIDE
from streamer.speakers.profiles import Roster
from streamer.speakers.settings import STEP_S, TrackerSettings
from streamer.speakers.tracker import Tracker

REFERENCE = "reference.rttm"
SUFFIXES = (".flac", ".wav", ".ogg", ".opus", ".mp3")
#: Seconds in which a speaker speaks alone in one half, needed to enrol them from it.
ENROL_S = 3.0


@dataclass(frozen=True, slots=True)
class Recording:
    """samples: (n,) at 16 kHz. turns: who speaks when."""

    name: str
    samples: Float32
    turns: tuple[LabelledTurn, ...]

    @property
    def speakers(self) -> set[str]:
        return {who for _, _, who in self.turns}


@dataclass(frozen=True, slots=True)
class Scored:
    """One recording with nobody enrolled.

    guests: number of different final labels, without that of unknown voices. delays_s: see `delays_s`.
    single: the errors without the second voices of overlaps. overlap: the detection of overlaps, if the model has it.
    """

    name: str
    errors: DiarisationErrors
    speakers: int
    guests: int
    delays_s: list[float] = field(repr=False)
    single: DiarisationErrors | None = None
    overlap: Found | None = None


@dataclass(frozen=True, slots=True)
class Halves:
    """One half, with some of the other half's speakers enrolled.

    found: over all speakers. known: over the enrolled speakers, by their names alone.
    """

    name: str
    enrolled: tuple[str, ...]
    found: Identification
    known: Identification


@dataclass(frozen=True, slots=True)
class Report:
    """The results of several recordings.

    der, missed, false_alarm, confusion: shares of the reference speech, no collar, overlaps scored. guests_per_speaker:
    final labels for each speaker. delay_s, never: time to the first right label, the median over turns and the share of
    turns without one; labels are mapped to speakers as for the error rate. single_der: the error rate without the
    second voices of overlaps. overlap_precision, overlap_recall: in positions of 10 ms, the share of detected overlap
    that is right, and the share of overlap that is detected. strangers_named, strangers_s: half by half, the share of
    strangers' time under an enrolled name, and that time. known_wrong, known_unnamed, known_s: half by half, the shares
    of enrolled speakers' time under another enrolled name, and without a name; and that time.
    """

    recordings: int
    minutes: float
    der: float
    missed: float
    false_alarm: float
    confusion: float
    speakers: int
    guests: int
    guests_per_speaker: float
    delay_s: float = math.nan
    never: float = math.nan
    single_der: float = math.nan
    overlap_precision: float = math.nan
    overlap_recall: float = math.nan
    strangers_named: float = math.nan
    strangers_s: float = math.nan
    known_wrong: float = math.nan
    known_unnamed: float = math.nan
    known_s: float = math.nan


def read_recordings(folder: Path) -> list[Recording]:
    """The audio files of a folder, each with its turns in the folder's `reference.rttm`, under their names.

    Raises ConfigurationError if there is no reference, or none of its files exists.
    """
    reference = folder / REFERENCE
    if not reference.is_file():
        raise ConfigurationError(f"{folder} has no {REFERENCE}, which says who speaks when in the folder's recordings.")
    found = [
        Recording(path.stem, read_audio(path), tuple(turns))
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in SUFFIXES and (turns := read_rttm(reference, path.stem))
    ]
    if not found:
        raise ConfigurationError(f"{folder} has no recording with a name from its {REFERENCE}.")
    return found


def through(recording: Recording, condition: str) -> Recording:
    """The same recording after a condition."""
    heard = parse_condition(condition)(recording.samples, np.random.default_rng(0))
    return Recording(recording.name, heard, recording.turns)


def hear(engine: IncrementalModel, samples: Float32, roster: Roster, settings: TrackerSettings | None) -> list[Event]:
    """All events for these samples."""
    tracker = Tracker(roster, Backend.of(engine.model), engine.model.embed, settings)
    return follow(tracker, steps_of(engine, samples, STEP_S))


def with_nobody(engine: IncrementalModel, one: Recording, settings: TrackerSettings | None = None) -> Scored:
    """Follow a recording with nobody enrolled."""
    events = hear(engine, one.samples, Roster.empty(engine.model.dimension), settings)
    last = last_names(events)
    ends = [event for event in events if isinstance(event, TurnEnd)]
    turns = [(end.start_sample, end.sample, last.get(end.speaker, end.speaker)) for end in ends]
    names = mapping(one.turns, turns)
    shown = [(start, end, names.get(last.get(who, who), who)) for start, end, who in shown_turns(events)]
    single = [turn for turn, end in zip(turns, ends, strict=True) if not end.reason.startswith(BESIDE)]
    scored = score(one, turns, delays_s(one.turns, shown, one.speakers))
    stretches = [(e.sample, e.end_sample) for e in events if isinstance(e, Overlap) and e.final and e.end_sample]
    return replace(scored, single=errors(one.turns, single), overlap=Found.of(one.turns, stretches))


def score(one: Recording, turns: Sequence[LabelledTurn], delays: Sequence[float] = ()) -> Scored:
    """Score a hypothesis of turns for a recording."""
    guests = len({who for _, _, who in turns} - {UNKNOWN})
    return Scored(one.name, errors(one.turns, turns), len(one.speakers), guests, list(delays))


def last_names(events: Sequence[Event]) -> dict[str, str]:
    """The final names of speakers who were renamed."""
    names: dict[str, str] = {}
    for event in events:
        if isinstance(event, Renamed):
            names = {old: event.speaker if new == event.previous else new for old, new in names.items()}
            names[event.previous] = event.speaker
    return names


def half_and_half(
    engine: IncrementalModel, one: Recording, settings: TrackerSettings | None = None
) -> Iterator[Halves]:
    """Enrol from one half and score the other, in both directions. Each speaker is left out once; a speaker with too
    little speech in the enrolment half is also a stranger."""
    middle = len(one.samples) // 2
    parts = [(0, middle), (middle, len(one.samples))]
    for said, heard in (parts, parts[::-1]):
        enrolment = {who: wave for who in sorted(one.speakers) if (wave := alone(one, who, *said)) is not None}
        if not enrolment:
            continue
        everybody = enrolled(engine, enrolment, Backend.of(engine.model), STEP_S)
        turns = within(one.turns, *heard)
        steps = steps_of(engine, one.samples[slice(*heard)], STEP_S)
        for left_out in sorted({who for _, _, who in turns} | set(enrolment)):
            roster = everybody.restricted(name for name in everybody.names if name != left_out)
            if not len(roster):
                continue
            tracker = Tracker(roster, Backend.of(engine.model), engine.model.embed, settings)
            events = follow(tracker, steps)
            last = last_names(events)
            found = [
                (e.start_sample, e.sample, last.get(e.speaker, e.speaker)) for e in events if isinstance(e, TurnEnd)
            ]
            theirs, named = ([turn for turn in some if turn[2] in roster.names] for some in (turns, found))
            known = identify(theirs, named, roster.names)
            yield Halves(one.name, roster.names, identify(turns, found, roster.names), known)


def alone(one: Recording, who: str, start: int, end: int) -> Float32 | None:
    """A speaker's speech between two samples while nobody else speaks; None if it is too little to enrol from."""
    speaks = np.zeros(end - start, np.int8)
    for a, b, name in within(one.turns, start, end):
        speaks[a:b] |= 1 if name == who else 2
    found = one.samples[start:end][speaks == 1]
    return found if len(found) >= ENROL_S * SAMPLE_RATE else None


def within(turns: Sequence[LabelledTurn], start: int, end: int) -> list[LabelledTurn]:
    """The turns between two samples, with positions relative to the first."""
    cut = [(max(a, start) - start, min(b, end) - start, who) for a, b, who in turns]
    return [turn for turn in cut if turn[0] < turn[1]]


def together(scored: Sequence[Scored], halves: Sequence[Halves] = ()) -> Report:
    """Combine the results of several recordings into one report."""
    total = DiarisationErrors.total([one.errors for one in scored])
    speakers, guests = sum(one.speakers for one in scored), sum(one.guests for one in scored)
    delays = np.array([delay for one in scored for delay in one.delays_s])
    strangers = sum(one.found.stranger_s for one in halves)
    named = sum((1 - one.found.rejected) * one.found.stranger_s for one in halves if one.found.stranger_s)
    known = sum(one.known.speech_s for one in halves)
    single = [one.single for one in scored if one.single is not None]
    overlap = Found.total([one.overlap for one in scored if one.overlap is not None])
    wrong, unnamed = (
        sum(getattr(one.known, part) * one.known.speech_s for one in halves) for part in ("wrong", "missed")
    )
    return Report(
        recordings=len(scored),
        minutes=total.seconds / 60,
        der=total.der,
        missed=total.missed / total.seconds,
        false_alarm=total.false_alarm / total.seconds,
        confusion=total.confusion / total.seconds,
        speakers=speakers,
        guests=guests,
        guests_per_speaker=guests / max(1, speakers),
        delay_s=float(np.quantile(delays, 0.5, method="lower")) if len(delays) else math.nan,
        never=float(np.isinf(delays).mean()) if len(delays) else math.nan,
        single_der=DiarisationErrors.total(single).der if single else math.nan,
        overlap_precision=overlap.precision,
        overlap_recall=overlap.recall,
        strangers_named=named / strangers if strangers else math.nan,
        strangers_s=strangers if halves else math.nan,
        known_wrong=wrong / known if known else math.nan,
        known_unnamed=unnamed / known if known else math.nan,
        known_s=known if halves else math.nan,
    )

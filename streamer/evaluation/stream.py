"""Evaluation of streams: names by time, delay to the right name, name changes, and diarisation error.

For each recording, speakers are enrolled, the audio goes through the engine's synchronous core and a tracker, and the
result is compared with the reference.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from streamer.audio.chunks import SAMPLE_RATE
from streamer.engine.incremental import IncrementalModel
from streamer.engine.window import Step
from streamer.errors import MissingDependency
from streamer.evaluation.conversations import Conversation, Wave
from streamer.evaluation.diarisation import DiarisationErrors, errors
from streamer.evaluation.identification import (
    Identification,
    delays_s,
    final_turns,
    flips,
    identify,
    shown_turns,
)
from streamer.models.model import Model
from streamer.rttm import LabelledTurn
from streamer.speakers.backend import Backend
from streamer.speakers.enrolment import Coach
from streamer.speakers.events import Event
from streamer.speakers.profiles import Profile, Roster
from streamer.speakers.settings import DURATIONS, TrackerSettings
from streamer.speakers.tracker import Tracker


@dataclass(frozen=True, slots=True)
class FollowedRecording:
    """The result of one recording. final: by the final turns. shown: by the display at each time."""

    name: str
    final: Identification
    shown: Identification
    delays_s: list[float]
    flips: int
    seconds: float
    reference: list[LabelledTurn]
    hypothesis: list[LabelledTurn]


@dataclass(frozen=True, slots=True)
class StreamReport:
    """The results of several recordings; shares are weighted by time. NaN where there is nothing to measure.

    error, wrong, missed, false_name: see `Identification`, of the final turns. shown_error: of the live display.
    delay_s, delay_p90_s: median and 90th percentile of the time to the first right name, infinite for turns that never
        got it. never: the share of these turns.
    flips_per_minute: name changes while one person spoke. der: diarisation error rate (no collar).
    """

    error: float
    wrong: float
    missed: float
    false_name: float
    false_alarm: float
    rejected: float
    shown_error: float
    delay_s: float
    delay_p90_s: float
    never: float
    flips_per_minute: float
    der: float
    minutes: float
    recordings: int = 0
    each: tuple[FollowedRecording, ...] = field(default=(), repr=False)


def steps_of(engine: IncrementalModel, samples: Wave, step_s: float) -> list[Step]:
    """The engine's steps for a recording, as for a stream."""
    stream = engine.open(DURATIONS, step_s)
    found: list[Step] = []
    for start in range(0, len(samples), SAMPLE_RATE):
        found += stream.push(samples[start : start + SAMPLE_RATE])
    return found + stream.finish()


def enrolled(engine: IncrementalModel, enrolment: dict[str, Wave], backend: Backend, step_s: float) -> Roster:
    """A roster from samples of each speaker, without the quality check of enrolment."""
    model, profiles = engine.model, []
    for name, samples in enrolment.items():
        coach = Coach(backend, model.embed, Roster.empty(model.dimension))
        coach.hear(samples)
        for step in steps_of(engine, samples, step_s):
            coach.step(step)
        profiles.append(Profile(name, model.fingerprint, coach.verdict().exemplars))
    return Roster.of((profile for profile in profiles if profile.exemplars), model.dimension)


def follow(tracker: Tracker, steps: Iterable[Step]) -> list[Event]:
    """All events of a tracker for a stream."""
    return [event for step in steps for event in tracker.update(step)] + tracker.finish()


def judge(
    name: str, events: list[Event], turns: Sequence[LabelledTurn], speech: Sequence[LabelledTurn], known: Sequence[str]
) -> FollowedRecording:
    """Compare a tracker's events with the turns (`turns`) and with the actual speech (`speech`)."""
    hypothesis, shown = final_turns(events), shown_turns(events)
    return FollowedRecording(
        name,
        identify(speech, hypothesis, known),
        identify(speech, shown, known),
        delays_s(turns, shown, known),
        flips(turns, shown),
        sum(end - start for start, end, _ in speech) / SAMPLE_RATE,
        list(speech),
        hypothesis,
    )


@dataclass(frozen=True, slots=True)
class ComputedConversation:
    """Everything about a conversation that does not depend on the tracker: the roster, and the engine's steps."""

    conversation: Conversation
    roster: Roster
    steps: tuple[Step, ...]


def compute(engine: IncrementalModel, conversation: Conversation, step_s: float) -> ComputedConversation:
    """Enrol for a conversation, and stream it through the engine."""
    roster = enrolled(engine, conversation.enrolment, Backend.of(engine.model), step_s)
    return ComputedConversation(conversation, roster, tuple(steps_of(engine, conversation.samples, step_s)))


def track(
    computed: ComputedConversation, model: Model, backend: Backend, settings: TrackerSettings | None = None
) -> FollowedRecording:
    """Run a tracker on a conversation, and score it."""
    conversation, roster = computed.conversation, computed.roster
    events = follow(Tracker(roster, backend, model.embed, settings), computed.steps)
    return judge(conversation.name, events, conversation.turns, conversation.speech, roster.names)


def evaluate(
    engine: IncrementalModel,
    conversations: Iterable[Conversation],
    step_s: float,
    settings: TrackerSettings | None = None,
) -> StreamReport:
    """Run the engine and the tracker on simulated conversations, each with its own enrolments."""
    backend = Backend.of(engine.model)
    return together([track(compute(engine, one, step_s), engine.model, backend, settings) for one in conversations])


def together(followed: Sequence[FollowedRecording]) -> StreamReport:
    """Combine the results of several recordings into one report."""
    speech_s = np.array([one.final.speech_s for one in followed])
    strangers_s = np.array([one.final.stranger_s for one in followed])
    delays = np.array([delay for one in followed for delay in one.delays_s])
    minutes = sum(one.seconds for one in followed) / 60

    def mean(values: list[float], seconds: np.ndarray[tuple[int], np.dtype[np.floating]] = speech_s) -> float:
        there = seconds > 0
        return float(np.average(np.array(values)[there], weights=seconds[there])) if there.any() else math.nan

    return StreamReport(
        error=mean([one.final.error for one in followed]),
        wrong=mean([one.final.wrong for one in followed]),
        missed=mean([one.final.missed for one in followed]),
        false_name=mean([one.final.false_name for one in followed]),
        false_alarm=mean([one.final.false_alarm for one in followed]),
        rejected=mean([one.final.rejected for one in followed], strangers_s),
        shown_error=mean([one.shown.error for one in followed]),
        delay_s=float(np.quantile(delays, 0.5, method="lower")) if len(delays) else math.nan,
        delay_p90_s=float(np.quantile(delays, 0.9, method="lower")) if len(delays) else math.nan,
        never=float(np.isinf(delays).mean()) if len(delays) else math.nan,
        flips_per_minute=sum(one.flips for one in followed) / max(minutes, 1e-9),
        der=diarisation_error(followed),
        minutes=minutes,
        recordings=len(followed),
        each=tuple(followed),
    )


def diarisation_error(followed: Sequence[FollowedRecording]) -> float:
    """The diarisation error rate over all recordings, by pyannote.metrics, with no collar and overlaps counted; NaN
    if pyannote.metrics is not installed."""
    try:
        each = [errors(one.reference, one.hypothesis) for one in followed if one.reference]
    except MissingDependency:
        return math.nan
    return DiarisationErrors.total(each).der


def read_noise(paths: Iterable[Path]) -> Wave:
    """Noise recordings, concatenated, each at an RMS of one."""
    from streamer.evaluation.manifest import read_audio

    waves = [read_audio(path) for path in paths]
    return np.concatenate(
        [np.zeros(0, np.float32)] + [wave / (float(np.sqrt(np.mean(wave**2))) + 1e-6) for wave in waves]
    )

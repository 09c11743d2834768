"""Calibrate the tracker's scores on the scores it computes: turns of a conversation against enrolled speakers, and
against guests, who are known from their earlier turns.

Pairs of clean windows would not do. There, neither side has as many seconds as an enrolment, and the speakers do not
share a room. The scores of the same voice come out lower and more spread than in the tracker, those of other voices
lower too, and a stranger then passes for an enrolled speaker.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from streamer.evaluation.stream import ComputedConversation
from streamer.models.model import Model
from streamer.speakers.backend import Cohort
from streamer.speakers.guests import Guests
from streamer.speakers.profiles import Roster, Vector
from streamer.speakers.scoring import Array, Calibration, effective_seconds, fit
from streamer.speakers.settings import TrackerSettings
from streamer.speakers.steps import HeardStep, Pool, frame_speech

#: A turn's scores are taken after these many seconds of its speech.
HEARD_S = (0.7, 1.5, 3.0, 6.0)
DRAWS = 5000

#: Scores of a speaker's turns and of other speakers' turns, by `HEARD_S`; and the effective seconds behind each score.
Scores = dict[float, list[tuple[bool, float, float]]]


@dataclass(frozen=True, slots=True)
class Calibrations:
    """The calibrations of normalised scores against enrolled speakers, and against guests."""

    enrolled: Calibration
    guests: Calibration


@dataclass(frozen=True, slots=True)
class HeardTurn:
    """A turn without overlap: embeddings (dimension,) with their seconds of speech.

    parts: by `HEARD_S`, up to the length of the turn. whole: the complete turn.
    """

    who: str
    parts: dict[float, tuple[Vector, float]]
    whole: tuple[Vector, float]


def usual_mean(groups: Mapping[str, Sequence[ComputedConversation]], cohorts: Mapping[str, Cohort]) -> float:
    """The mean score of voices against unrelated cohorts: the enrolled of each group against the cohort of that
    group."""
    each = [
        np.concatenate([cohorts[name].norms(one.roster.centroids)[:, 0] for one in conversations])
        for name, conversations in groups.items()
    ]
    return float(np.mean([means.mean() for means in each]))


def calibrate(
    groups: Mapping[str, Sequence[ComputedConversation]], model: Model, cohorts: Mapping[str, Cohort]
) -> Calibrations:
    """The calibrations, with equal weight for every group.

    cohorts: by group, the cohort that its scores are normalised by. A cohort with voices from the group's corpus makes
    strangers look less similar than they will be in use.

    Raises ConfigurationError if no group has both kinds of scores, of the same speaker and of others.
    """
    enrolled: list[Scores] = []
    guests: list[Scores] = []
    for name, conversations in groups.items():
        cohort = cohorts[name]
        enrolled.append(defaultdict(list))
        guests.append(defaultdict(list))
        for one in conversations:
            turns = list(_turns(one, model))
            for turn, known in zip(turns, _known_by_then(turns, model.dimension), strict=True):
                _add_scores(enrolled[-1], turn, one.roster, cohort)
                _add_scores(guests[-1], turn, known, cohort)
    return Calibrations(_fitted(enrolled), _fitted(guests))


def _fitted(found: Sequence[Scores], seed: int = 11) -> Calibration:
    rng = np.random.default_rng(seed)
    same: list[tuple[float, Array]] = []
    different: list[tuple[float, Array]] = []
    for heard_s in HEARD_S:
        tables = [np.array(scores[heard_s]) for scores in found if {row[0] for row in scores[heard_s]} == {True, False}]
        if not tables:
            continue
        seconds = float(np.mean([table[:, 1].mean() for table in tables]))
        for kind, points in ((1.0, same), (0.0, different)):
            points.append((seconds, np.concatenate([rng.choice(t[t[:, 0] == kind, 2], DRAWS) for t in tables])))
    return fit(same, different)


def _add_scores(scores: Scores, turn: HeardTurn, known: Roster, cohort: Cohort) -> None:
    if not len(known):
        return
    for heard_s, (embedding, speech_s) in turn.parts.items():
        normalised = cohort.normalised(known.scores(embedding), cohort.norms(embedding[None]), known.norms(cohort))
        seconds = effective_seconds(speech_s, known.speech_s)
        rows = zip(known.names, seconds, normalised, strict=True)
        scores[heard_s] += [(name == turn.who, float(s), float(score)) for name, s, score in rows]


def _known_by_then(turns: Sequence[HeardTurn], dimension: int) -> Iterator[Roster]:
    """For each turn, the guests that an errorless tracker with nobody enrolled has at that point."""
    guests, slots = Guests(len(turns), dimension), dict[str, int]()
    for turn in turns:
        places = list(slots.values())
        yield Roster(slots, guests.centroids[places], guests.speech_s[places])
        embedding, speech_s = turn.whole
        if speech_s < TrackerSettings().guest_speech_s:
            continue
        if turn.who in slots:
            guests.hear(slots[turn.who], embedding, speech_s, 0)
        else:
            slots[turn.who] = guests.add(embedding, speech_s, 0)
        guests.settle(slots[turn.who])


def _turns(one: ComputedConversation, model: Model) -> Iterator[HeardTurn]:
    """The turns without overlap, as the tracker gets them."""
    settings = TrackerSettings()
    steps = [HeardStep.of(step, frame_speech(step, settings.silence_db)) for step in one.steps]
    turns = one.conversation.turns
    for start, end, who in turns:
        if sum(start < other_end and end > other_start for other_start, other_end, _ in turns) > 1:
            continue
        pool = Pool()
        parts: dict[float, tuple[Vector, float]] = {}
        for step in steps:
            if step.start_sample < start or step.end_sample > end:
                continue
            pool.add(step, start)
            if len(parts) < len(HEARD_S) and pool.speech_s >= HEARD_S[len(parts)]:
                heard = pool.embedding(model.embed)
                assert heard is not None
                parts[HEARD_S[len(parts)]] = heard
        if (whole := pool.embedding(model.embed)) is not None:
            yield HeardTurn(who, parts, whole)

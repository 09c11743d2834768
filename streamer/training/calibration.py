"""What the tracker's scores mean, measured where it meets them: turns of a conversation against enrolled speakers.

Pairs of clean windows would not do. There, neither side has an enrolment's seconds, and nobody shares a room: the
scores of the same voice come out lower and more spread than a tracker finds them, those of other voices lower too, and
a stranger then passes for somebody enrolled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from streamer.evaluation.stream import Computed
from streamer.models.model import Model
from streamer.speakers.backend import Cohort
from streamer.speakers.scoring import Array, Calibration, effective_seconds, fit
from streamer.speakers.settings import TrackerSettings
from streamer.speakers.turn import Piece, Pool, frame_speech

#: A turn's scores are taken when so many seconds of speech of it were heard.
HEARD_S = (0.7, 1.5, 3.0, 6.0)
DRAWS = 5000

#: Scores of a speaker's own turns and of others', by `HEARD_S`; and the effective seconds behind them.
Scores = dict[float, list[tuple[bool, float, float]]]


def calibrate(groups: Mapping[str, Sequence[Computed]], model: Model, cohort: Cohort, seed: int = 11) -> Calibration:
    """The calibration of normalised scores; every group counts the same. Raises ConfigurationError where none has both
    kinds of pairs."""
    rng = np.random.default_rng(seed)
    found = [_scores(conversations, model, cohort) for conversations in groups.values()]
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


def _scores(conversations: Sequence[Computed], model: Model, cohort: Cohort) -> Scores:
    scores: Scores = {heard_s: [] for heard_s in HEARD_S}
    for one in conversations:
        if not len(one.roster):
            continue
        for who, heard_s, pool in _turns(one):
            pooled = pool.embedding(model.embed)
            assert pooled is not None
            embedding = pooled[0][None]
            theirs = one.roster.norms(cohort)
            normalised = cohort.normalised(one.roster.scores(embedding), cohort.norms(embedding)[:, None], theirs)[0]
            seconds = effective_seconds(pool.speech_s, one.roster.speech_s)
            rows = zip(one.roster.names, seconds, normalised, strict=True)
            scores[heard_s] += [(name == who, float(s), float(score)) for name, s, score in rows]
    return scores


def _turns(one: Computed) -> Iterator[tuple[str, float, Pool]]:
    """Whose turn, and what was pooled of it when so much was heard; turns in which nobody else speaks."""
    settings = TrackerSettings()
    pieces = [Piece.of(step, frame_speech(step, settings.silence_db)) for step in one.steps]
    turns = one.conversation.turns
    for start, end, who in turns:
        if sum(start < other_end and end > other_start for other_start, other_end, _ in turns) > 1:
            continue
        pool, waiting = Pool(), list(HEARD_S)
        for piece in pieces:
            if piece.start_sample < start or piece.end_sample > end:
                continue
            pool.add(piece, start)
            if waiting and pool.speech_s >= waiting[0]:
                yield who, waiting.pop(0), pool

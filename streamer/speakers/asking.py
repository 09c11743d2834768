"""Questions of trackers answered: one at a time, or of many at once.

To read the voices of very many people costs more than to compare something with them. So a tracker stops where it wants
to know what it heard says of its candidates, and what several want to know of the same people is one product.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np

from streamer.speakers.candidates import Asking, Compared, Question, T
from streamer.speakers.scoring import Array

#: Embeddings that are compared with everybody at once; the scores of more would take memory and save no time.
AT_ONCE = 64


def answered(asking: Asking[T]) -> T:
    """What comes of work whose questions are answered as they come."""
    evidence: tuple[Array, Array] | None = None
    try:
        while True:
            question = next(asking) if evidence is None else asking.send(evidence)
            evidence = question.candidates.evidence(question.embeddings, question.speech_s)
    except StopIteration as stop:
        value: T = stop.value
        return value


@dataclass(slots=True)
class _Work(Generic[T]):
    asking: Asking[T]
    question: Question | None = None
    outcome: T | Exception | None = None

    def go_on(self, compared: Compared | None = None) -> None:
        """To the next question, or to the end."""
        asked, self.question = self.question, None
        try:
            if asked is None:
                self.question = next(self.asking)
            else:
                evidence = asked.candidates.evidence(asked.embeddings, asked.speech_s, compared)
                self.question = self.asking.send(evidence)
        except StopIteration as stop:
            self.outcome = stop.value
        except Exception as error:  # it is whoever asked for the work who must hear of it, and not the others
            self.outcome = error


def answered_together(askings: Sequence[Asking[T]]) -> list[T | Exception]:
    """What comes of each, or the error that it ended with; each is of a tracker of its own."""
    works = [_Work(asking) for asking in askings]
    for work in works:
        work.go_on()
    while asked := [work for work in works if work.question is not None]:
        for some in _of_one_roster(asked):
            _answer(some)
    return [work.outcome for work in works]  # type: ignore[misc]


def _of_one_roster(asked: Sequence[_Work[T]]) -> Iterator[list[_Work[T]]]:
    """Those that ask of the same people, `AT_ONCE` embeddings of them at most."""
    groups: dict[tuple[int, int], list[_Work[T]]] = {}
    for work in asked:
        assert work.question is not None
        candidates = work.question.candidates
        groups.setdefault((id(candidates.roster), id(candidates.backend)), []).append(work)
    for group in groups.values():
        some: list[_Work[T]] = []
        rows = 0
        for work in group:
            assert work.question is not None
            rows += len(work.question.embeddings)
            if some and rows > AT_ONCE:
                yield some
                some, rows = [], len(work.question.embeddings)
            some.append(work)
        yield some


def _answer(works: Sequence[_Work[T]]) -> None:
    questions = [work.question for work in works if work.question is not None]
    candidates = questions[0].candidates
    try:
        embeddings = np.concatenate([question.embeddings for question in questions])
        compared = Compared.of(candidates.roster, candidates.backend, embeddings)
    except Exception as error:
        for work in works:
            work.question, work.outcome = None, error
        return
    start = 0
    for work, question in zip(works, questions, strict=True):
        end = start + len(question.embeddings)
        work.go_on(compared.rows(start, end))
        start = end

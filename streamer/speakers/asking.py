"""Answers the questions of trackers: one at a time, or many at once.

With very many speakers, reading their centroids costs more than comparing something with them. So a tracker pauses when
it needs the evidence for its candidates, and the questions of several trackers about the same roster are answered by
one matrix product.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np

from streamer.speakers.candidates import Asking, Compared, Question, T
from streamer.speakers.scoring import Array

#: The largest number of embeddings to compare with the roster at once. Scores of more would take memory and save no
#: time.
AT_ONCE = 64


def answered(asking: Asking[T]) -> T:
    """The result of the work, with each question answered as it comes."""
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
        """Run to the next question, or to the end."""
        asked, self.question = self.question, None
        try:
            if asked is None:
                self.question = next(self.asking)
            else:
                evidence = asked.candidates.evidence(asked.embeddings, asked.speech_s, compared)
                self.question = self.asking.send(evidence)
        except StopIteration as stop:
            self.outcome = stop.value
        except Exception as error:  # the error belongs to the caller of this work, not to the others
            self.outcome = error


def answered_together(askings: Sequence[Asking[T]]) -> list[T | Exception]:
    """The result of each piece of work, or the error that it raised. Each one belongs to a different tracker."""
    works = [_Work(asking) for asking in askings]
    for work in works:
        work.go_on()
    while asked := [work for work in works if work.question is not None]:
        for some in _of_one_roster(asked):
            _answer(some)
    return [work.outcome for work in works]  # type: ignore[misc]


def _of_one_roster(asked: Sequence[_Work[T]]) -> Iterator[list[_Work[T]]]:
    """Groups of work that ask about the same roster, with at most `AT_ONCE` embeddings each."""
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

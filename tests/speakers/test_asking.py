"""What several trackers ask at once is answered as if each had asked alone."""

from __future__ import annotations

import numpy as np
import pytest

from streamer.speakers.asking import AT_ONCE, answered, answered_together
from streamer.speakers.backend import Backend, Cohort
from streamer.speakers.candidates import Candidates, Question
from streamer.speakers.guests import Guests
from streamer.speakers.profiles import MANY, Roster
from streamer.speakers.scoring import Calibration

DIMENSION = 8
CALIBRATION = Calibration((1.0,), (0.55,), (0.15,), (0.10,), (0.13,))


def roster(people: int, seed: int = 0) -> Roster:
    voices = np.random.default_rng(seed).standard_normal((people, DIMENSION))
    return Roster([f"speaker {number:05}" for number in range(people)], voices, np.full(people, 10.0))


def candidates(of: Roster, backend: Backend, guest: int) -> Candidates:
    guests = Guests(3, DIMENSION)
    guests.add(np.random.default_rng(guest).standard_normal(DIMENSION).astype(np.float32), 2.0, 0)
    return Candidates(of, guests, backend, 0.3)


def work(of: Candidates, seed: int, rows: int):
    """Asks twice, the second time of what the first answer says is nearest."""
    voices = np.random.default_rng(seed).standard_normal((rows, DIMENSION)).astype(np.float32)
    scores, first = yield Question(of, voices, np.full(rows, 2.0))
    near = voices + of.roster.centroids[int(np.argmax(scores[0, : len(of.roster)]))]
    _, second = yield Question(of, near, np.full(rows, 3.0))
    return first, second


@pytest.mark.parametrize("people", [5, 700, MANY + 10], ids=["a few people", "hundreds", "thousands"])
@pytest.mark.parametrize("normed", [False, True], ids=["cosines", "a cohort"])
def test_together_or_alone_the_evidence_is_the_same(people, normed):
    voices = np.random.default_rng(9).standard_normal((40, DIMENSION))
    backend = Backend(CALIBRATION, Cohort(voices, top=10) if normed else None)
    rosters = [roster(people), roster(people, seed=1)]
    asked = [(candidates(rosters[one % 2], backend, one), 100 + one, 1 + one % 4) for one in range(AT_ONCE // 2)]
    together = answered_together([work(*one) for one in asked])
    for one, found in zip(asked, together, strict=True):
        for mine, alone in zip(found, answered(work(*one)), strict=True):
            np.testing.assert_allclose(mine, alone, atol=2e-4)


def test_whose_work_fails_fails_alone():
    backend = Backend(CALIBRATION)
    people = roster(5)

    def failing():
        yield Question(candidates(people, backend, 1), np.ones((1, DIMENSION), np.float32), np.ones(1))
        raise ValueError("mine")

    def misshapen():
        yield Question(candidates(roster(5, seed=1), backend, 1), np.ones((1, DIMENSION + 1), np.float32), np.ones(1))

    def silent():
        return "nothing to ask"
        yield

    asked = [failing(), misshapen(), silent(), work(candidates(people, backend, 2), 1, 2)]
    first, second, third, fourth = answered_together(asked)
    assert isinstance(first, ValueError)
    assert isinstance(second, ValueError)
    assert third == "nothing to ask"
    alone = answered(work(candidates(people, backend, 2), 1, 2))
    np.testing.assert_allclose(fourth[1], alone[1], atol=1e-5)
    assert answered_together([]) == []


def test_two_states_alone_are_worth_what_they_are_among_all():
    voices = np.random.default_rng(9).standard_normal((40, DIMENSION))
    of = candidates(roster(20), Backend(CALIBRATION, Cohort(voices, top=10)), 1)
    asked, seconds = np.random.default_rng(2).standard_normal((6, DIMENSION)).astype(np.float32), np.full(6, 2.0)
    _, every = of.evidence(asked, seconds)
    for states in [(3, 17), (17, 20), (20, of.unknown), (4, 4)]:
        np.testing.assert_allclose(of.between(asked, seconds, states), every[:, states], atol=1e-4)

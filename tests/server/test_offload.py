"""What trackers ask is answered off the event loop, together for all who wait."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from streamer.server.offload import FEW_PEOPLE, TOGETHER, Offload
from streamer.speakers.backend import Backend
from streamer.speakers.candidates import Candidates, Question
from streamer.speakers.guests import Guests
from streamer.speakers.profiles import Roster
from streamer.speakers.scoring import Calibration

MANY = FEW_PEOPLE + 1
BACKEND = Backend(Calibration((1.0,), (0.55,), (0.15,), (0.10,), (0.13,)))


@pytest.fixture
def offload():
    made = Offload()
    yield made
    made.close()


def asking(seen: list[int], voice: np.ndarray):
    """Says whose voice it is, and keeps in which thread it was told."""
    people = Roster(["ada", "bob"], np.eye(2), [10.0, 10.0])
    scores, _ = yield Question(Candidates(people, Guests(0, 2), BACKEND, 0.3), voice[None], np.ones(1))
    seen.append(threading.get_ident())
    return ["ada", "bob"][int(np.argmax(scores[0, :2]))]


async def test_everybody_gets_their_own_answer_from_a_thread_however_many_ask_at_once(offload):
    seen: list[int] = []
    voices = [np.eye(2, dtype=np.float32)[number % 2] for number in range(3 * TOGETHER + 1)]
    found = await asyncio.gather(*(offload.track(MANY, asking(seen, voice)) for voice in voices))
    assert found == [["ada", "bob"][number % 2] for number in range(len(voices))]
    assert len(set(seen)) == 1
    assert threading.get_ident() not in seen


async def test_a_few_people_are_asked_at_once(offload):
    seen: list[int] = []
    assert await offload.track(FEW_PEOPLE, asking(seen, np.eye(2, dtype=np.float32)[1])) == "bob"
    assert seen == [threading.get_ident()]


async def test_an_error_is_raised_where_it_was_asked_for_and_others_have_their_answers(offload):
    def failing():
        raise ValueError("mine")
        yield

    seen: list[int] = []
    voice = np.eye(2, dtype=np.float32)[0]
    other = asyncio.ensure_future(offload.track(MANY, asking(seen, voice)))
    with pytest.raises(ValueError, match="mine"):
        await offload.track(MANY, failing())
    assert await other == "ada"


async def test_who_gave_up_does_not_hold_up_the_others(offload):
    seen: list[int] = []
    voice = np.eye(2, dtype=np.float32)[0]
    left = asyncio.ensure_future(offload.track(MANY, asking(seen, voice)))
    await asyncio.sleep(0)
    left.cancel()
    assert await offload.track(MANY, asking(seen, voice)) == "ada"
    with pytest.raises(asyncio.CancelledError):
        await left

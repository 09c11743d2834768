"""A whole meeting: bundled voices leaking into every microphone, through engine, room and sinks."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from streamer.audio.chunks import SAMPLE_RATE as S
from streamer.audio.sources import IteratorSource
from streamer.demo import ENROLMENT
from streamer.demo.room import seats
from streamer.engine.engine import Engine
from streamer.errors import AudioNotFinite, ConfigurationError
from streamer.meeting.meeting import Meeting
from streamer.sinks.base import Sink
from streamer.speakers.library import Speakers

#: Carol, Angus and Brian, one turn each.
SHORT = round(17.4 * S)


@pytest.fixture(scope="module")
def speakers():
    with Speakers("default", "sqlite://") as speakers:
        for name, path in ENROLMENT.items():
            speakers.enroll(name, path, force=True)
        yield speakers


class SessionSnapshot(Sink):
    def __init__(self):
        self.events, self.closed = [], 0

    def event(self, event, session):
        self.events.append(event)

    def close(self, session):
        self.closed += 1


async def held(speakers, sounds, **options):
    """A meeting over these microphones, flat out."""
    kept = SessionSnapshot()
    meeting = Meeting(speakers, len(sounds), live=False, sinks=[kept], **options)
    async with Engine(speakers.model) as engine:
        await meeting.run_room(engine, [IteratorSource(_blocks(sound)) for sound in sounds])
    assert kept.closed == 1
    return meeting, kept


def _blocks(sound):
    return np.array_split(sound, max(1, len(sound) // 8_000))


@pytest.mark.parametrize(
    ("loss_db", "delay_ms", "order"),
    [
        (4.0, 0.0, ["angus", "brian", "carol"]),
        (12.0, 3.0, ["carol", "angus", "brian"]),
        (20.0, 9.0, ["brian", "carol", "angus"]),
    ],
    ids=["hardly weaker", "a table", "a hall"],
)
async def test_a_voice_that_leaks_into_every_microphone_is_one_speaker_at_its_seat(speakers, loss_db, delay_ms, order):
    sounds = seats(order, loss_db=loss_db, delay_ms=delay_ms, seed=3)[:, :SHORT]
    meeting, kept = await held(speakers, sounds)
    turns = [(event.speaker, event.channel) for event in kept.events if event.type == "turn_end"]
    known = [(name, order.index(name)) for name, _ in turns if name in order]
    assert [turn for turn in turns if turn[0] in order] == known
    assert {name for name, _ in turns} <= {"angus", "brian", "carol"}
    assert "unknown" not in {event.type for event in kept.events}
    assert sum(meeting.timeline.talk_time().values()) == pytest.approx(15.0, abs=1.5)


async def test_a_microphone_that_fails_is_left_out_and_the_others_go_on(speakers):
    sounds = seats(["carol", "angus"])[:, : 8 * S]
    broken = sounds[1].copy()
    broken[3 * S] = np.nan
    meeting, kept = await held(speakers, [sounds[0], broken])
    assert isinstance(meeting.failures[1], AudioNotFinite)
    assert "carol" in {event.speaker for event in kept.events if event.type == "turn_end"}


async def test_when_all_microphones_fail_the_meeting_does(speakers):
    with pytest.raises(AudioNotFinite):
        await held(speakers, [np.full(S, np.nan, np.float32)] * 2)


async def test_a_meeting_that_is_stopped_ends_with_its_last_events(speakers):
    stop, kept = asyncio.Event(), SessionSnapshot()

    class Stopping(Sink):
        def step(self, step, session):
            if step.end_sample >= 4 * S:
                stop.set()

    async def forever(sound):
        while True:
            for block in _blocks(sound):
                await asyncio.sleep(0)
                yield block

    meeting = Meeting(speakers, 2, live=False, sinks=[kept, Stopping()])
    sounds = seats(["carol", "angus"])[:, : 5 * S]
    async with Engine(speakers.model) as engine:
        await meeting.run_room(engine, [IteratorSource(forever(sound)) for sound in sounds], stop)
    assert kept.closed == 1
    assert kept.events[-1].type == "turn_end"


async def test_a_microphone_without_a_source_is_an_error(speakers):
    async with Engine(speakers.model) as engine:
        with pytest.raises(ConfigurationError, match="1 sources for 2 channels"):
            await Meeting(speakers, 2).run_room(engine, [IteratorSource([])])

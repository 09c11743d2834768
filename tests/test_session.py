"""A whole session on the bundled conversation: engine, tracker, store and sinks."""

import asyncio

import pytest

from streamer.audio.sources import FileSource
from streamer.demo import CONVERSATION, ENROLMENT, REFERENCE
from streamer.engine.engine import Engine
from streamer.evaluation.identification import identify
from streamer.evaluation.stream import steps_of
from streamer.rttm import read_rttm
from streamer.session import Session
from streamer.sinks.base import Sink
from streamer.speakers.library import DURATIONS, STEP_S, Speakers
from streamer.speakers.store import SpeakerStore


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("store") / "speakers.db"


@pytest.fixture(scope="module")
def speakers(path):
    with Speakers("default", path) as speakers:
        for name, file in ENROLMENT.items():
            speakers.enroll(name, file)
        yield speakers


@pytest.fixture(scope="module")
def steps(speakers):
    from streamer.audio.files import read_audio

    return steps_of(speakers.engine, read_audio(CONVERSATION).mono_16k(), STEP_S)


class SessionSnapshot(Sink):
    def __init__(self):
        self.events, self.steps, self.closed = [], 0, False

    def event(self, event, session):
        self.events.append(event)

    def step(self, step, session):
        self.steps += 1

    def close(self, session):
        self.closed = True


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def heard(session, steps):
    for step in steps:
        session.hear(step)
    session.finish()


def turns(session):
    return [(span.start_sample, span.end_sample, span.speaker) for span in session.timeline.everything()]


def test_the_bundled_conversation_is_labelled_right(speakers, steps):
    session = Session(speakers, keep_guests=False)
    heard(session, steps)
    found = identify(read_rttm(REFERENCE), turns(session), set(ENROLMENT))
    assert found.right > 0.9
    assert found.rejected > 0.8
    assert {who for _, _, who in turns(session)} >= {"angus", "brian", "carol"}


async def test_live_the_same_is_said_as_step_by_step(speakers, steps):
    at_once, live = SessionSnapshot(), SessionSnapshot()
    heard(Session(speakers, keep_guests=False, sinks=[at_once]), steps)
    session = Session(speakers, keep_guests=False, sinks=[live])
    async with Engine(speakers.model) as engine, engine.stream(FileSource(CONVERSATION), DURATIONS, STEP_S) as stream:
        await session.run(stream)
    assert [event.type for event in live.events] == [event.type for event in at_once.events]
    assert [event.sample for event in live.events] == [event.sample for event in at_once.events]
    assert live.steps == len(steps)
    assert live.closed


async def test_a_session_that_is_stopped_ends_with_its_last_events(speakers):
    stop, sink = asyncio.Event(), SessionSnapshot()

    class Stopping(Sink):
        def step(self, step, session):
            if step.end_sample >= 64_000:
                stop.set()

    session = Session(speakers, keep_guests=False, sinks=[sink, Stopping()])
    source = FileSource(CONVERSATION, speed=30)
    async with Engine(speakers.model) as engine, engine.stream(source, DURATIONS, STEP_S) as stream:
        await session.run(stream, stop)
    assert sink.closed
    assert sink.events[-1].type == "speech_end"
    assert session.timeline.now_sample < 20 * 16_000


def test_a_guest_named_by_another_process_has_the_name_within_a_second(speakers, steps, tmp_path):
    path, clock, sink = tmp_path / "speakers.db", Clock(), SessionSnapshot()
    with Speakers(speakers.model, path) as few, SpeakerStore(path) as other:
        few.store.add("carol", few.model.fingerprint, speakers.profile("carol").exemplars)
        session = Session(few, sinks=[sink], clock=clock)
        rest = iter(steps)
        while not (guests := other.guests()):  # whose turn is over: a guest is kept with the end of one
            session.hear(next(rest))
        [(_, guest, _, _)] = guests
        other.name_guest(guest, "Angus", session.name)
        clock.now += 1.0
        events = session.hear(next(rest))
        assert [(event.previous, event.speaker) for event in events if event.type == "renamed"] == [(guest, "Angus")]
        heard(session, rest)
        names = {who for _, _, who in turns(session)}
        assert {"carol", "Angus"} <= names
        assert guest not in names


def test_guests_are_not_kept_where_nobody_wants_it(speakers, steps):
    speakers.store.forget_guests()
    heard(Session(speakers, keep_guests=False), steps)
    assert speakers.store.guests() == []


def test_a_roster_leaves_the_others_strangers(speakers, steps):
    session = Session(speakers, roster=["carol"], keep_guests=False)
    heard(session, steps)
    names = {who for _, _, who in turns(session)}
    assert "carol" in names
    assert not names & {"angus", "brian"}

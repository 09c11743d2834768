"""What clients ask of the store: answered without a path, without end, and without holding up their own audio."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from concurrent.futures import Future

import numpy as np
import pytest
from many import enrol_many
from sqlalchemy import event
from talking import RATE, pcm, talking

from streamer.errors import StoreBusy
from streamer.protocol import Refusal, Settings
from streamer.server.people import PAGE_SIZE, People
from streamer.speakers.backend import Backend
from streamer.speakers.profiles import Exemplar
from streamer.speakers.scoring import Calibration
from streamer.speakers.store import SpeakerStore

MODEL, DIMENSION = "0123456789abcdef", 8
BACKEND = Backend(Calibration((1.0,), (0.5,), (0.1,), (0.0,), (0.1,)))


def exemplar(seed: int) -> Exemplar:
    return Exemplar(np.random.default_rng(seed).standard_normal(DIMENSION).astype(np.float32), 5.0)


@pytest.fixture
def store(tmp_path):
    with SpeakerStore(tmp_path / "secret folder" / "speakers.db", busy_s=0.1) as opened:
        opened.add("Ada", MODEL, [exemplar(1)])
        yield opened


@pytest.fixture
def people(store):
    made = People(store, MODEL, DIMENSION, BACKEND)
    yield made
    made.close()


async def test_what_the_store_cannot_do_is_in_the_log_and_its_path_is_not_in_the_answer(store, people, caplog):
    store._engine.dispose()
    event.listen(store._engine, "connect", lambda connection, record: connection.execute("PRAGMA query_only=ON"))
    with caplog.at_level(logging.ERROR, "streamer.server"), pytest.raises(Refusal) as refused:
        await people.add("Bob", [exemplar(2)])
    assert refused.value.code == "internal"
    answer = json.dumps(refused.value.to_dict())
    assert "secret" not in answer
    assert "log" in answer
    [record] = caplog.records
    assert record.about["kind"] == "StoreReadOnly"
    assert "secret folder" in record.about["problem"]
    assert "Bob" not in json.dumps(record.about)


async def test_a_store_that_another_process_holds_can_be_tried_again(store, people, monkeypatch):
    def busy(*_):
        raise StoreBusy("held")

    with monkeypatch.context() as held:
        held.setattr(store, "add", busy)
        with pytest.raises(Refusal) as refused:
            await people.add("Bob", [exemplar(2)])
    assert (refused.value.code, refused.value.fatal) == ("busy", False)
    assert refused.value.retry_after > 0
    assert "tried again" in refused.value.change
    await people.add("Bob", [exemplar(2)])
    assert people.everybody.names == ("Ada", "Bob")


async def test_a_store_that_never_answers_is_not_waited_for(store, people, monkeypatch):
    let_go = threading.Event()
    monkeypatch.setattr("streamer.server.people.PATIENCE_S", 0.2)
    monkeypatch.setattr(store, "add", lambda *_: let_go.wait())
    try:
        began = time.monotonic()
        with pytest.raises(Refusal) as refused:
            await people.add("Bob", [exemplar(2)])
        assert refused.value.code == "busy"
        assert time.monotonic() - began < 30.0
    finally:
        let_go.set()


@pytest.mark.parametrize("steps", range(6))
async def test_who_is_told_to_stop_as_the_store_answers_stops(people, monkeypatch, steps):
    answer: Future[tuple[int, bool]] = Future()
    with monkeypatch.context() as held:
        held.setattr(people._pool, "submit", lambda _: answer)
        asking = asyncio.create_task(people.refresh())
        await asyncio.sleep(0)
        answer.set_result((people.changes, False))
        for _ in range(steps):
            await asyncio.sleep(0)
        if asking.cancel():
            await asyncio.wait([asking])
            assert asking.cancelled()


async def test_pages_are_bounded_by_what_a_message_may_hold(store, people):
    for number in range(30):
        store.add(f"{number:02} " + "\U0001f600" * 90, MODEL, [exemplar(number)])
    await people.refresh()
    whole = people.page(None, 1000)
    assert len(json.dumps(whole, ensure_ascii=False)) < PAGE_SIZE + 1000
    assert people.page("Ada", 2)["speakers"] == []
    assert [one["name"][:2] for one in people.page(None, 2)["speakers"]] == ["00", "01"]


async def test_those_invited_are_found_in_any_spelling_and_followed_by_their_names(store, people):
    assert people.invited([" ADA "]) == ("Ada",)
    with pytest.raises(Refusal) as refused:
        people.invited(["Ada", *(f"stranger {number}" for number in range(500))])
    assert refused.value.code == "unknown_speaker"
    assert len(refused.value.message) < 500
    with pytest.raises(Refusal) as unusable:
        people.invited(["guest-1"])
    assert unusable.value.code == "invalid_message"
    store.rename("Ada", "Ada Lovelace")
    await people.refresh()
    assert people.roster(["Ada"]).names == ()
    assert people.roster(["ada lovelace"]).names == ("Ada Lovelace",)


async def test_a_commit_that_the_store_holds_up_does_not_hold_up_its_own_clients_audio(server, monkeypatch):
    let_go, asked = threading.Event(), threading.Event()
    store = server.people._store
    genuine = store.add

    def slow(*arguments):
        asked.set()
        let_go.wait()
        return genuine(*arguments)

    monkeypatch.setattr(store, "add", slow)
    async with talking(server) as talk:
        try:
            await talk.start(windows=True, stats_interval=0)
            await talk.say(type="enroll", action="start", name="Ada")
            await talk.socket.send(pcm(8.0))
            await talk.say(type="flush", request=1)
            await talk.until("flushed")
            await talk.say(type="enroll", action="commit", force=True)
            await asyncio.to_thread(asked.wait)
            await talk.socket.send(pcm(2.0))
            await talk.say(type="flush", request=2)
            assert (await talk.until("flushed"))["sample"] == 10 * RATE
            await talk.say(type="end")
            await talk.say(type="ping", request=3)
            await talk.until("pong")
        finally:
            let_go.set()
        while (report := await talk.until("enrolment"))["state"] == "listening":
            pass
        assert report["state"] == "committed"
        assert (await talk.until("goodbye"))["reason"] == "ended"
    assert store.names() == ["Ada"]


@pytest.mark.parametrize("name", ["guest-7", "unknown", "Ada\u202e", "x" * 101])
async def test_a_name_that_cannot_be_one_is_refused_before_the_speech(server, name):
    async with talking(server) as talk:
        await talk.start(stats_interval=0)
        await talk.say(type="enroll", action="start", name=name)
        error = await talk.until("error")
        assert (error["code"], error["fatal"]) == ("invalid_message", False)
        await talk.say(type="enroll", action="start", name=" Zoe\u0308 ")
        assert (await talk.until("enrolment"))["name"] == "Zo\u00eb"


@pytest.mark.parametrize(
    ("step", "channels", "mode", "cost"),
    [
        (0.5, 1, "downmix", 1),
        (0.1, 1, "downmix", 5),
        (1.0, 2, "split", 2),
        (0.25, 2, "split", 4),
        (0.3, 8, "downmix", 2),
    ],
)
def test_a_session_takes_as_much_room_as_it_looks_often(step, channels, mode, cost):
    assert Settings(step=step, channels=channels, channel_mode=mode).cost == cost


async def test_a_stream_that_begins_while_somebody_is_removed_listens_for_them_no_longer(server, monkeypatch):
    model = server._engine.model
    voice = Exemplar(np.ones(model.dimension, np.float32), 5.0)
    await server.people.add("Ada", [voice])
    offload, changed = server.rooms._offload, []
    genuine = offload.run

    async def slow(people, call):
        made = await genuine(people, call)
        if not changed:
            changed.append("Ada")
            await server.people.remove("Ada")
            for _ in range(50):  # whoever was there by now has heard of it
                await asyncio.sleep(0)
        return made

    monkeypatch.setattr(offload, "run", slow)
    async with talking(server) as talk:
        await talk.start(stats_interval=0)
        [room] = server.rooms._rooms.values()
        async with asyncio.timeout(20):
            while room.channels[0].tracker.roster.names:  # noqa: ASYNC110 - no event says so
                await asyncio.sleep(0.01)
    assert changed == ["Ada"]


async def test_who_looks_five_times_as_often_needs_the_room_of_five(serving):
    async with (
        serving(max_streams=6) as server,
        talking(server) as quick,
        talking(server) as more,
        talking(server) as one,
    ):
        assert (await quick.start(step=0.1, duration=2.0))["type"] == "ready"
        assert (await more.start(step=0.25))["code"] == "busy"
        assert (await one.start())["type"] == "ready"


async def test_the_loop_works_as_little_for_a_change_among_very_many_as_among_few(tmp_path):
    """What the loop's own thread computes for one, whatever other threads and processes do."""
    took = {}
    for names in (10, 20_000):
        with SpeakerStore(tmp_path / f"{names}.db") as store:
            enrol_many(store, names, MODEL, DIMENSION)
            people = People(store, MODEL, DIMENSION, BACKEND)
            tries = []
            for number in range(5):
                began = time.thread_time()
                await people.add(f"New {number}", [exemplar(number)])
                people.roster(None)
                people.roster(["Person 00003", "new 0"])
                people.page("Person", 50)
                tries.append(time.thread_time() - began)
            took[names] = min(tries)
            people.close()
    assert took[20_000] < 2 * took[10] + 0.005, took

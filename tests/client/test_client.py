"""Whatever the network does, a client hears every event once and in order, and knows what was not heard."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random

import numpy as np
import pytest
from many import enrol_many
from network import Proxy
from talking import PATIENCE_S, RATE, empty, pcm
from websockets.asyncio.server import serve

from streamer.audio.sources import IteratorSource
from streamer.client import Client, listen
from streamer.client.answers import delays
from streamer.errors import ConfigurationError, ConnectionLost, ProtocolError, ServerBusy, ServerRefused
from streamer.protocol import Settings
from streamer.server import admission
from streamer.speakers.store import SpeakerStore

SECONDS = 8.0
OPTIONS = {"windows": True, "embeddings": True, "stats_interval": 0}
TOTAL = int(SECONDS * RATE * 2)


def url(port: int) -> str:
    return f"ws://127.0.0.1:{port}"


async def run(port: int, audio: bytes, **options) -> tuple[list[dict], Client]:
    """Send all of the audio and return every event."""
    async with Client(url(port), **OPTIONS, **options) as client:

        async def send() -> None:
            for start in range(0, len(audio), 6_400):
                await client.send(audio[start : start + 6_400])
            await client.end()

        sender = asyncio.create_task(send())
        events = [message async for message in client if "id" in message]
        await sender
    return events, client


async def test_the_events_over_a_bad_network_are_those_of_a_clean_run(server):
    audio = pcm(SECONDS)
    clean, _ = await run(server.port, audio)
    assert clean[-1]["decided_sample"] == SECONDS * RATE
    for seed in range(3):
        generator = random.Random(seed)
        cuts = [generator.randint(2_000, TOTAL) for _ in range(3)]
        proxy = Proxy(server.port, cuts=cuts, split=[150, 60_000, 2_000][seed], seed=seed)
        async with proxy.running() as port:
            events, client = await run(port, audio)
        assert client.reconnects >= 1
        assert events == clean


async def test_audio_that_is_no_longer_kept_becomes_a_marked_gap(server):
    audio = pcm(SECONDS)
    proxy = Proxy(server.port, cuts=[TOTAL // 3], split=10_000)
    async with proxy.running() as port:
        events, client = await run(port, audio, keep_s=0.0)
    assert client.reconnects == 1
    gaps = [event for event in events if event["type"] == "gap"]
    assert gaps
    assert {gap["reason"] for gap in gaps} == {"reconnect"}
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    # The clock is the client's: the gaps are in it, nothing is shifted.
    assert max(event["decided_sample"] for event in events) == SECONDS * RATE
    for event in events:
        if event["type"] == "window":
            assert not any(
                event["start_sample"] < gap["end_sample"] and gap["sample"] < event["end_sample"] for gap in gaps
            )


async def test_a_delayed_network_changes_nothing(server):
    audio = pcm(2.0)
    clean, _ = await run(server.port, audio)
    async with Proxy(server.port, cuts=[], split=3_000, delay_s=0.003).running() as port:
        delayed, client = await run(port, audio)
    assert delayed == clean
    assert client.reconnects == 0


async def test_a_client_gives_up_when_the_server_stays_away(server):
    proxy = Proxy(server.port, cuts=[], split=10_000)
    async with proxy.running() as port, Client(url(port), patience_s=0.3, **OPTIONS) as client:
        proxy.blocked = True
        proxy.cut()
        with pytest.raises(ConnectionLost):
            async for _ in client:
                pass
        with pytest.raises(ConnectionLost):
            await client.send(np.zeros(16, np.float32))


async def test_a_session_that_was_given_up_by_the_server_is_begun_anew(serving):
    async with serving(resume_s=0.0) as server:
        proxy = Proxy(server.port, cuts=[], split=10_000)
        async with proxy.running() as port, Client(url(port), **OPTIONS) as client:
            proxy.blocked = True
            proxy.cut()
            await empty(server)
            proxy.blocked = False
            restart = await anext(message async for message in client if message["type"] == "restart")
            assert "does not know the session" in restart["reason"]
            assert client.restarts == 1


async def crashes(server):
    """The server is gone, without a word to anybody."""
    for room in server.rooms:
        room._presence.connection.abort()


async def stops(server):
    """The server is stopped in order, and keeps no sessions."""
    await server.drain()


@pytest.mark.parametrize("ends", [crashes, stops])
async def test_after_a_restart_that_keeps_nothing_a_client_begins_anew_and_marks_what_is_lost(
    serving, monkeypatch, ends
):
    monkeypatch.setattr("streamer.server.app.RETRY_AFTER_S", 0.05)
    audio = pcm(SECONDS)
    half = len(audio) // 2
    async with serving() as first:
        port = first.port
        client = Client(url(port), **OPTIONS)
        await client.__aenter__()
        await client.send(audio[:half])
        heard = await client.ask("flush")
        assert heard["sample"] == SECONDS / 2 * RATE
        await ends(first)
    async with serving(port=port):
        await client.send(audio[half:])
        await client.end()
        async with asyncio.timeout(2 * PATIENCE_S):
            messages = [message async for message in client]
        await client.__aexit__()
    [restart] = [message for message in messages if message["type"] == "restart"]
    after = messages[messages.index(restart) + 1 :]
    assert restart["lost_from_sample"] == restart["sample"] == heard["sample"], "what was kept is sent again"
    assert messages[-1]["reason"] == "ended"
    windows = [message for message in after if message["type"] == "window"]
    assert windows[0]["id"] == 1
    assert min(window["start_sample"] for window in windows) >= restart["sample"]
    assert windows[-1]["decided_sample"] == SECONDS * RATE, "positions count from the stream's start as before"
    assert all(window["time"] == window["sample"] / RATE for window in windows)


async def test_audio_that_was_kept_no_longer_is_said_to_be_lost_when_a_session_begins_anew(serving):
    audio = pcm(SECONDS)
    async with serving() as first:
        port = first.port
        client = Client(url(port), keep_s=0.0, **OPTIONS)
        await client.__aenter__()
        # Silence is heard and nothing decided of it but windows, so what is sent and not answered is lost.
        await client.send(audio[: len(audio) // 2])
        await client.ask("ping")
        await crashes(first)
    async with serving(port=port):
        await client.send(audio[len(audio) // 2 :])
        await client.end()
        async with asyncio.timeout(2 * PATIENCE_S):
            messages = [message async for message in client]
        await client.__aexit__()
    [restart] = [message for message in messages if message["type"] == "restart"]
    assert restart["lost_from_sample"] <= restart["sample"] == SECONDS / 2 * RATE
    assert messages[-1]["reason"] == "ended"


async def test_a_list_of_any_length_is_read_page_by_page(serving, tmp_path, local_model):
    names = [f"Person {number:05}" for number in range(2_500)]
    with SpeakerStore(tmp_path / "speakers.db") as store:
        enrol_many(store, len(names), local_model.fingerprint, local_model.dimension)
    async with serving() as server, Client(url(server.port), stats_interval=0) as client:
        assert [one["name"] for one in await client.speakers()] == names
        first = await client.ask("speakers", action="list")
        assert (first["total"], first["more"]) == (2_500, True)
        assert len(json.dumps(first)) < 256 * 1024
        page = await client.ask("speakers", action="list", after=names[9], limit=3)
        assert [one["name"] for one in page["speakers"]] == names[10:13]
        last = await client.ask("speakers", action="list", after=names[-2])
        assert (len(last["speakers"]), last["more"]) == (1, False)
        with pytest.raises(ServerRefused) as refused:
            async with Client(url(server.port), roster=["Nobody"]):
                pass
        assert refused.value.code == "unknown_speaker"
        assert len(str(refused.value)) < 300, "it does not answer with everybody's name"


async def test_a_session_that_the_server_ends_ends_though_the_source_stalls(serving):
    async def blocks():
        yield np.zeros(RATE, np.float32)
        await asyncio.Event().wait()

    async with serving(idle_timeout_s=1.0) as server, Client(url(server.port), **OPTIONS) as client:
        client.feed(IteratorSource(blocks(), rate=RATE))
        async with asyncio.timeout(PATIENCE_S):
            messages = [message async for message in client]
    assert messages[-1]["reason"] == "idle"


async def test_a_client_comes_back_to_a_server_that_had_no_room_for_a_moment(server, monkeypatch):
    monkeypatch.setattr(admission, "RETRY_AFTER_S", 0.05)
    audio = pcm(2.0)
    clean, _ = await run(server.port, audio)
    proxy = Proxy(server.port, cuts=[], split=10_000)
    async with proxy.running() as port, Client(url(port), **OPTIONS) as client:
        await client.send(audio[:RATE])
        server.admission.draining = True
        proxy.cut()
        async with asyncio.timeout(PATIENCE_S):
            while 'code="busy"' not in server.metrics.text().decode():  # noqa: ASYNC110 - nothing tells of a refusal
                await asyncio.sleep(0.01)
        server.admission.draining = False
        await client.send(audio[RATE:])
        await client.end()
        events = [message async for message in client if "id" in message]
    assert client.reconnects == 1
    assert events == clean


async def test_a_server_that_has_no_room_for_too_long_is_given_up(server):
    proxy = Proxy(server.port, cuts=[], split=10_000)
    async with proxy.running() as port, Client(url(port), patience_s=1.0, **OPTIONS) as client:
        server.admission.draining = True
        proxy.cut()
        with pytest.raises(ServerBusy):
            async for _ in client:
                pass


async def test_nobody_there_is_said_at_once():
    with pytest.raises(ConnectionLost, match="can't be reached"):
        async with Client("ws://127.0.0.1:1"):
            pass


async def test_a_full_server_says_when_to_come_back(serving):
    async with serving(max_streams=1) as server, Client(url(server.port)):
        with pytest.raises(ServerBusy) as busy:
            async with Client(url(server.port)):
                pass
        assert busy.value.retry_after > 0


async def test_what_the_server_refuses_is_raised_with_what_to_change(server):
    with pytest.raises(ServerRefused, match="not enrolled: Nobody") as refused:
        async with Client(url(server.port), roster=["Nobody"]):
            pass
    assert refused.value.code == "unknown_speaker"


@pytest.mark.parametrize("setting", [{"sample_rate": 7}, {"nonsense": 1}, {"step": "fast"}], ids=str)
def test_a_setting_that_the_protocol_does_not_have_is_refused_here(setting):
    with pytest.raises(ProtocolError):
        Client("ws://127.0.0.1", **setting)


def test_an_encoding_that_the_client_cannot_make_is_refused_here():
    with pytest.raises(ConfigurationError, match="opus"):
        Client("ws://127.0.0.1", encoding="opus")


async def test_questions_are_answered_beside_the_events(server):
    async with Client(url(server.port), stats_interval=0) as client:
        await client.send(np.zeros(RATE, np.float32))
        assert (await client.ask("flush"))["sample"] == RATE
        assert (await client.ask("ping"))["type"] == "pong"
        assert (await client.ask("speakers", action="list"))["speakers"] == []
        with pytest.raises(ServerRefused, match="nobody called 'Ada'"):
            await client.ask("speakers", action="remove", speaker="Ada")


async def test_audio_that_is_missing_at_the_very_end_is_a_gap_too(server):
    async with Client(url(server.port), **OPTIONS) as client:
        await client.send(np.zeros(RATE, np.float32))
        await client.gap(RATE // 2)
        await client.end()
        events = [message async for message in client if "id" in message]
    [gap] = [event for event in events if event["type"] == "gap"]
    assert (gap["sample"], gap["end_sample"]) == (RATE, RATE + RATE // 2)


def test_a_client_that_was_not_entered_has_no_answer_of_the_server():
    with pytest.raises(ConfigurationError, match="async with"):
        _ = Client("ws://127.0.0.1").ready


async def test_a_source_is_sent_to_its_end(server):
    async def blocks():
        for start in range(0, 3 * RATE, 1_000):
            yield np.full(min(1_000, 3 * RATE - start), 0.1, np.float32)

    async with Client(url(server.port), **OPTIONS) as client:
        client.feed(IteratorSource(blocks(), rate=RATE))
        messages = [message async for message in client]
    assert messages[-1]["type"] == "goodbye"
    assert max(message.get("decided_sample", 0) for message in messages) == 3 * RATE


async def test_a_source_that_fails_is_the_readers_to_see(server):
    async def blocks():
        yield np.zeros(1_000, np.float32)
        raise RuntimeError("the device burnt down")

    async with Client(url(server.port), **OPTIONS) as client:
        client.feed(IteratorSource(blocks(), rate=RATE))
        with pytest.raises(RuntimeError, match="burnt"):
            async for _ in client:
                pass


async def test_the_blocking_form_gives_the_same_messages(server):
    audio = pcm(2.0)
    clean, _ = await run(server.port, audio)

    def read() -> list[dict]:
        async def blocks():
            yield audio

        source = IteratorSource(blocks(), rate=RATE, encoding="s16le")
        return [message for message in listen(url(server.port), source, **OPTIONS) if "id" in message]

    assert await asyncio.to_thread(read) == clean


async def test_leaving_the_blocking_form_early_ends_the_session(server):
    def leave() -> None:
        async def blocks():
            yield np.zeros(2 * RATE, np.float32)
            await asyncio.Event().wait()

        with contextlib.closing(listen(url(server.port), IteratorSource(blocks(), rate=RATE), **OPTIONS)) as messages:
            next(messages)

    await asyncio.to_thread(leave)
    await empty(server)


def test_clients_come_back_soon_and_then_ever_later():
    waits = delays(random.Random(1))
    seconds = [next(waits) for _ in range(10)]
    assert seconds[0] == 0.0
    assert all(0.1 * 2**n <= wait <= 0.2 * 2**n for n, wait in enumerate(seconds[1:5]))
    assert max(seconds) <= 5.0


async def test_a_server_that_says_its_last_words_all_at_once_is_heard_to_the_end():
    """The close comes with the last events, before any of them is acknowledged."""
    ready = {
        "type": "ready",
        "version": 1,
        "session": "s",
        "resume": "token",
        "resume_within": 30.0,
        "resumed": False,
        "position": 0,
        "last_event": 0,
        "lost_events": 0,
        "settings": Settings.of({"type": "start"}).to_dict(),
        "model": {"name": "m", "fingerprint": "f"},
        "scopes": ["stream"],
    }
    event = {"type": "speech_start", "id": 1, "channel": 0, "time": 0.0, "sample": 0, "decided_sample": 0, "reason": ""}
    stats = {
        "type": "stats",
        "lag": 0.0,
        "queue": 0.0,
        "received": 0,
        "gaps": 0,
        "gap_samples": 0,
        "duplicates": 0,
        "skipped": 0,
        "events": 1,
    }
    goodbye = {"type": "goodbye", "reason": "ended", "resume": False, "message": "All audio was processed."}
    connections = []

    async def answer(connection):
        connections.append(connection)
        await connection.recv()
        for message in (ready, event, stats, goodbye):
            await connection.send(json.dumps(message))
        await connection.close(1000)

    async with serve(answer, "127.0.0.1", 0, subprotocols=["streamer.v1"]) as listening:
        port = listening.sockets[0].getsockname()[1]
        async with asyncio.timeout(PATIENCE_S), Client(url(port)) as client:
            said = [message["type"] async for message in client]
    assert said == ["speech_start", "stats", "goodbye"]
    assert len(connections) == 1

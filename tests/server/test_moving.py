"""A session goes on at another server as if nothing had been, whatever became of the one that had it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import logging

import numpy as np
import pytest
from network import Proxy
from postgres import database, frozen, url
from talking import PATIENCE_S, RATE, pcm, talking

from streamer.client import Client
from streamer.server.keeping.sessionsnapshot import key_of

__all__ = ["database", "url"]

SECONDS = 8.0
OPTIONS = {"windows": True, "embeddings": True, "stats_interval": 0}


@pytest.fixture
def where(tmp_path):
    return f"sqlite:///{tmp_path}/sessions.db"


@pytest.fixture
def servers(serving, where):
    """So many servers that share their sessions: `async with servers(2, snapshot_s=0.2) as (here, there)`."""

    @contextlib.asynccontextmanager
    async def run(count, **settings):
        async with contextlib.AsyncExitStack() as stack:
            shared = {"state_store": where, "snapshot_s": 0.1, "burst_s": 60.0, **settings}
            yield [await stack.enter_async_context(serving(**shared)) for _ in range(count)]

    return run


def bare(events):
    """Events without what depends on the last digits of a float."""
    digits = ("embedding", "confidence", "score", "margin", "speech")
    return [{name: value for name, value in event.items() if name not in digits} for event in events]


def embeddings(events):
    coded = [event["embedding"] for event in events if "embedding" in event]
    return np.array([np.frombuffer(base64.b64decode(one), "<f4") for one in coded])


async def kept(server, events=0):
    """Wait until every session of a server was written with at least so many events."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            marks = server.rooms._keeper._marks.values()
            # seen: acknowledged, attached, last event, ...
            if marks and all(mark.seen and mark.seen[2] >= events for mark in marks):
                return
            await asyncio.sleep(0.01)


async def written_last(server, events=1):
    """Wait until every session of a server was written; from now on none is."""
    await kept(server, events)
    server.rooms._keeper._wanted = lambda *_: False


async def run(port, audio, halfway=None, quarter=None, chunk=6_400, **options):
    """Send all of the audio, and do something after a quarter and a half of it.

    Every event, the client, and all messages.
    """
    async with Client(f"ws://127.0.0.1:{port}", **{**OPTIONS, **options}) as client:

        async def send():
            moments = {len(audio) // 4 // chunk * chunk: quarter, len(audio) // 2 // chunk * chunk: halfway}
            for start in range(0, len(audio), chunk):
                if (then := moments.get(start)) is not None:
                    await client.ask("flush")
                    await then()
                await client.send(audio[start : start + chunk])
            await client.end()

        messages = []
        async with asyncio.timeout(3 * PATIENCE_S), asyncio.TaskGroup() as group:
            group.create_task(send())
            async for message in client:
                messages.append(message)  # noqa: PERF401 - those that came before an error are worth seeing
    return [message for message in messages if "id" in message], client, messages


KINDS = {
    "16 kHz": {},
    "48 kHz": {"sample_rate": 48_000},
    "44.1 kHz": {"sample_rate": 44_100},
    "telephone": {"sample_rate": 8_000, "encoding": "mulaw"},
    "split channels": {"channels": 2, "channel_mode": "split"},
}

#: How much 16 kHz audio has as many bytes as a second of each.
SECONDS_OF_16_KHZ = {"16 kHz": 1.0, "48 kHz": 3.0, "44.1 kHz": 2.75, "telephone": 0.25, "split channels": 2.0}


@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_is_lost_doubled_or_shifted_where_a_session_is_taken_up_from_an_earlier_state(servers, kind):
    audio = pcm(SECONDS * SECONDS_OF_16_KHZ[kind])
    async with servers(1) as [alone]:
        clean, _, _ = await run(alone.port, audio, **KINDS[kind])
    async with servers(2) as (here, there):
        proxy = Proxy(here.port, cuts=[], split=60_000)

        async def move():
            # The state that lies there is far behind what the client has: all since is decided a second time.
            proxy.target = there.port
            proxy.cut()

        async with proxy.running() as port:
            before = functools.partial(written_last, here)
            events, client, messages = await run(port, audio, move, before, **KINDS[kind])
    assert (client.reconnects, client.restarts) == (1, 0)
    assert not [message for message in messages if message["type"] in ("restart", "error")]
    if kind != "split channels":
        assert [event["id"] for event in events] == list(range(1, len(events) + 1))

    def by_channel(events):
        return sorted(bare(events), key=lambda event: (event["channel"], event["decided_sample"], event["sample"]))

    if kind == "split channels":  # which of two channels is first is a matter of time
        strip = [{**event, "id": 0} for event in by_channel(events)]
        assert strip == [{**event, "id": 0} for event in by_channel(clean)]
    else:
        assert bare(events) == bare(clean)
        exact = kind == "16 kHz"
        # A resampler that begins anew differs from one that goes on, by what it has of the past.
        np.testing.assert_allclose(embeddings(events), embeddings(clean), atol=1e-4 if exact else 2e-2)


async def test_a_server_that_was_left_learns_that_the_session_is_no_longer_its_own(servers, where):
    audio = pcm(SECONDS)
    async with servers(2) as (here, there):
        proxy = Proxy(here.port, cuts=[], split=60_000)
        moved = []

        async def move():
            await kept(here, events=1)
            [room] = here.rooms
            moved.append(room)
            proxy.target = there.port
            proxy.cut()

        async with proxy.running() as port:
            _, client, _ = await run(port, audio, move)
        async with asyncio.timeout(PATIENCE_S):
            while len(here.rooms):  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.02)
    assert client.reconnects == 1
    assert moved[0].reason == "moved"
    assert here.admission.streams == 0, "its place is free"


async def test_a_former_owner_does_not_speak_for_the_session_when_its_client_comes_back_to_it(servers):
    """Back and forth: each time the state is the newest one, never what a server remembers of earlier."""
    audio = pcm(2 * SECONDS)
    async with servers(1) as [alone]:
        clean, _, _ = await run(alone.port, audio)
    async with servers(2) as (here, there):
        proxy = Proxy(here.port, cuts=[], split=60_000)
        async with proxy.running() as port, Client(f"ws://127.0.0.1:{port}", **OPTIONS) as client:

            async def send():
                for number, start in enumerate(range(0, len(audio), 64_000)):
                    await client.send(audio[start : start + 64_000])
                    await client.ask("flush")
                    proxy.target = (there, here)[number % 2].port
                    connections = client.reconnects
                    proxy.cut()
                    async with asyncio.timeout(PATIENCE_S):
                        while client.reconnects == connections:  # noqa: ASYNC110 - nothing tells of it
                            await asyncio.sleep(0.01)
                await client.end()

            async with asyncio.timeout(3 * PATIENCE_S), asyncio.TaskGroup() as group:
                group.create_task(send())
                events = [message async for message in client if "id" in message]
    assert client.reconnects >= 7
    assert client.restarts == 0
    assert bare(events) == bare(clean)


async def test_what_can_not_be_sent_again_is_one_marked_gap_and_every_number_comes_once(servers):
    async with servers(2) as (here, there):
        async with talking(here) as talk:
            ready = await talk.start(**OPTIONS)
            await written_last(here, 0)
            await talk.socket.send(pcm(4.0))
            await talk.say(type="flush")
            await talk.until("flushed")
            before = talk.events
            talk.socket.transport.abort()
        async with talking(there) as talk:
            resumed = await talk.start(resume=ready["resume"], last_event=before[-1]["id"], position=4 * RATE)
            assert (resumed["resumed"], resumed["position"]) == (True, 4 * RATE)
            await talk.socket.send(pcm(2.0))
            await talk.say(type="end")
            await talk.until("goodbye")
    events = before + talk.events
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    [gap] = [event for event in events if event["type"] == "gap"]
    assert (gap["sample"], gap["end_sample"], gap["reason"]) == (0, 4 * RATE, "reconnect")
    assert events[-1]["decided_sample"] == 6 * RATE


async def test_an_end_that_was_said_is_reached_though_the_client_need_not_say_it_again(servers):
    audio = pcm(4.0)
    async with servers(2) as (here, there):
        async with talking(here) as talk:
            ready = await talk.start(**OPTIONS)
            await talk.socket.send(audio)
            await talk.say(type="end")
            await talk.until("goodbye")
            clean = talk.events
        async with talking(here) as talk:
            ready = await talk.start(**OPTIONS)
            await kept(here)
            # Written after `end` was said, with what the engine had by then.
            [room] = [room for room in here.rooms if not room.over]
            await talk.socket.send(audio[: len(audio) // 2])
            await talk.say(type="flush")
            await talk.until("flushed")
            await kept(here, events=talk.events[-1]["id"])
            room.session.ending = True
            room.session.framing.position = 4 * RATE
            room.session.replay.acknowledge(1)
            seen = here.rooms._keeper._marks[room].seen
            async with asyncio.timeout(PATIENCE_S):
                while here.rooms._keeper._marks[room].seen == seen:  # noqa: ASYNC110 - nothing tells of it
                    await asyncio.sleep(0.01)
            before = talk.events
            talk.socket.transport.abort()
        async with talking(there) as talk:
            last = before[-1]["id"]
            resumed = await talk.start(resume=ready["resume"], last_event=last, position=0)
            assert resumed["position"] == 2 * RATE
            await talk.socket.send(audio[len(audio) // 2 :])
            assert (await talk.until("goodbye"))["reason"] == "ended"
    assert bare(before + talk.events) == bare(clean)


async def test_while_the_database_stands_still_nothing_waits_and_it_is_said_once(serving, url, database, caplog):
    caplog.set_level(logging.INFO, logger="streamer.server")
    audio = pcm(4.0)
    async with serving(state_store=url, snapshot_s=0.1, burst_s=60.0) as server:  # noqa: SIM117 - one needs the other
        async with Client(f"ws://127.0.0.1:{server.port}", **OPTIONS) as client:
            await client.send(audio)
            await client.ask("flush")
            await kept(server, events=1)
            assert "streamer_sessions_kept 1.0" in server.metrics.text().decode()
            with frozen(database):
                async with asyncio.timeout(PATIENCE_S):
                    while not server.rooms._keeper._down:
                        await client.send(audio)
                        await client.ask("flush")  # answered all the while
                        await asyncio.sleep(0.2)
                assert "streamer_sessions_kept 0.0" in server.metrics.text().decode()
                async with talking(server) as talk:
                    refused = await talk.start(resume="of another server")
                    assert (refused["code"], refused["fatal"]) == ("busy", True), "it may well be there"
                    assert refused["retry_after"] > 0
            [mark] = server.rooms._keeper._marks.values()
            before = mark.at
            async with asyncio.timeout(PATIENCE_S):
                while mark.at == before:  # noqa: ASYNC110 - nothing tells of it
                    await asyncio.sleep(0.05)
            assert "streamer_sessions_kept 1.0" in server.metrics.text().decode()
            await client.end()
            events = [message async for message in client if "id" in message]
    assert events[-1]["decided_sample"] % RATE == 0
    assert [record.getMessage() for record in caplog.records].count("sessions not kept") == 1
    assert [record.getMessage() for record in caplog.records].count("sessions kept again") == 1


async def test_a_session_that_is_over_lies_nowhere(servers, where):
    async with servers(1) as [here]:
        async with talking(here) as talk:
            ready = await talk.start(**OPTIONS)
            await kept(here)
            await talk.say(type="end")
            await talk.until("goodbye")
        async with asyncio.timeout(PATIENCE_S):
            while here.rooms._keeper._session_store.holds(key_of(ready["resume"]), 1):  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.02)


async def test_a_server_whose_engine_has_failed_sends_its_sessions_to_another(servers):
    async with servers(2) as (here, there):
        async with talking(here) as talk:
            ready = await talk.start(**OPTIONS)
            await talk.socket.send(pcm(1.0))
            await talk.say(type="flush")
            await talk.until("flushed")
            await kept(here, events=1)
            here.fail("The engine has not answered for 20 s.")
            goodbye = await talk.until("goodbye")
            assert (goodbye["reason"], goodbye["resume"]) == ("draining", True)
        async with talking(there) as talk:
            assert (await talk.start(resume=ready["resume"], position=RATE))["resumed"]


async def test_a_session_that_was_only_just_taken_up_can_be_handed_on(servers):
    """A rolling restart may reach the second server before it has written what it took from the first."""
    async with servers(3) as (first, second, third):
        async with talking(first) as talk:
            ready = await talk.start(**OPTIONS)
            await talk.socket.send(pcm(2.0))
            await talk.say(type="flush")
            await talk.until("flushed")
            await written_last(first)
            talk.socket.transport.abort()
        second.rooms._keeper._wanted = lambda *_: False
        async with talking(second) as talk:
            await talk.start(resume=ready["resume"], position=0)
            [room] = second.rooms
            assert await second.rooms._keeper.lies_there(room)
            talk.socket.transport.abort()
        async with talking(third) as talk:
            assert (await talk.start(resume=ready["resume"], position=0))["resumed"]

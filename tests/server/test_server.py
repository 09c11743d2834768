"""A stream over a real socket, from `start` to `goodbye`."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import socket

import av
import numpy as np
import pytest
from talking import PATIENCE_S, RATE, empty, pcm, talking
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from streamer.audio.formats import ENCODINGS, decode_pcm, encode_pcm
from streamer.engine.incremental import IncrementalModel
from streamer.protocol.framing import HEADER
from streamer.server import app
from streamer.server.app import Server
from streamer.speakers.profiles import Exemplar
from streamer.speakers.store import SpeakerStore


async def test_audio_goes_in_and_windows_come_out_as_the_engine_computes_them(server, local_model):
    audio = pcm(5.3)
    async with talking(server) as talk:
        ready = await talk.start(windows=True, embeddings=True, step=1.0)
        assert ready["model"]["fingerprint"] == local_model.fingerprint
        for start in range(0, len(audio), 4_001):
            await talk.socket.send(audio[start : start + 4_001])
        await talk.say(type="end")
        goodbye = await talk.until("goodbye")
        assert goodbye["reason"] == "ended"
        with pytest.raises(ConnectionClosed):
            await talk.next()
        assert talk.socket.close_code == 1000
    stream = IncrementalModel(local_model).open((1.0, 3.0), 1.0)
    samples = np.frombuffer(audio, "<i2").astype(np.float32) / 32768
    windows = [window for step in [*stream.push(samples), *stream.finish()] for window in step.windows]
    heard = [event for event in talk.events if event["type"] == "window"]
    assert [(event["start_sample"], event["end_sample"], event["duration"]) for event in heard] == [
        (window.start_sample, window.end_sample, window.duration_s) for window in windows
    ]
    for event, window in zip(heard, windows, strict=True):
        embedding = np.frombuffer(base64.b64decode(event["embedding"]), "<f4")
        np.testing.assert_allclose(embedding, window.embedding, atol=1e-5)
    assert [event["id"] for event in talk.events] == list(range(1, len(talk.events) + 1))


async def hello_refused(server: Server, first: str | bytes, **options) -> dict:
    """The error that answers a first message; the connection then closes."""
    async with talking(server, **options) as talk:
        await talk.socket.send(first)
        error = await talk.until("error")
        with pytest.raises(ConnectionClosed):
            await talk.next()
        return {**error, "close": talk.socket.close_code}


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (b"\0\0", "wrong_order"),
        ("{", "invalid_message"),
        ('{"type":"end"}', "wrong_order"),
        ('{"type":"start","encoding":"mp3"}', "invalid_message"),
        ('{"type":"start","step":0.3,"duration":1.0}', "invalid_message"),
        ('{"type":"start","roster":["Nobody"]}', "unknown_speaker"),
        ('{"type":"start","resume":"guessed"}', "unknown_session"),
        ('{"type":"start","encoding":"opus","channels":4}', "unsupported"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_wrong_beginning_is_answered_and_closed(server, first, code):
    error = await hello_refused(server, first)
    assert (error["code"], error["fatal"], error["close"]) == (code, True, 1008)
    await empty(server)
    assert server.admission.streams == 0


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
async def test_every_encoding_is_heard_alike(server, encoding):
    """The windows of each encoding are those of the samples as that encoding has them."""
    samples = np.frombuffer(pcm(2.0), "<i2") / 32768
    data = encode_pcm(samples, encoding)
    heard = []
    for sent, name in ((data, encoding), (encode_pcm(decode_pcm(data, encoding), "f32le"), "f32le")):
        async with talking(server) as talk:
            await talk.start(encoding=name, windows=True, embeddings=True, stats_interval=0)
            await talk.socket.send(sent)
            await talk.say(type="end")
            await talk.until("goodbye")
            heard.append(talk.events)
    assert heard[0] == heard[1]
    assert heard[0]


async def test_split_channels_have_a_tracker_each(server):
    left, right = (np.frombuffer(pcm(2.0, seed), "<i2") for seed in (1, 2))
    async with talking(server) as talk:
        await talk.start(channels=2, channel_mode="split", windows=True, embeddings=True)
        assert server.admission.streams == 2
        await talk.socket.send(np.stack([left, right], axis=1).tobytes())
        await talk.say(type="flush", request=9)
        flushed = await talk.until("flushed")
        assert flushed == {"type": "flushed", "request": 9, "sample": 2 * RATE}
        await talk.say(type="end")
        await talk.until("goodbye")
    by_channel = {channel: [e for e in talk.events if e["channel"] == channel] for channel in (0, 1)}
    async with talking(server) as alone:
        await alone.start(windows=True, embeddings=True)
        await alone.socket.send(right.tobytes())
        await alone.say(type="end")
        await alone.until("goodbye")
    bare = [{k: v for k, v in event.items() if k not in ("id", "channel")} for event in by_channel[1]]
    alike = [{k: v for k, v in event.items() if k not in ("id", "channel")} for event in alone.events]
    (own, beside), (alone_at, alone_heard) = windows_of(bare), windows_of(alike)
    assert own == alone_at
    np.testing.assert_allclose(beside, alone_heard, atol=1e-4)  # batches of other sizes differ by rounding
    assert np.abs(windows_of(by_channel[0])[1] - beside).max() > 1e-2


def windows_of(events: list[dict]) -> tuple[list[tuple[int, int]], np.ndarray]:
    """Where the windows among these events lie, and their embeddings."""
    windows = [event for event in events if event["type"] == "window"]
    embeddings = [np.frombuffer(base64.b64decode(event["embedding"]), "<f4") for event in windows]
    return [(event["start_sample"], event["end_sample"]) for event in windows], np.stack(embeddings)


async def test_opus_packets_are_heard_and_lost_ones_are_gaps(server):
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, "mono", "s16"
    tone = (8_000 * np.sin(np.arange(2 * 48_000) / 20)).astype(np.int16)
    packets = []
    for start in range(0, len(tone), 960):
        frame = av.AudioFrame.from_ndarray(tone[None, start : start + 960], format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48_000, start
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    async with talking(server) as talk:
        ready = await talk.start(encoding="opus", framing="sequenced", sample_rate=16_000, windows=True)
        assert ready["settings"]["sample_rate"] == 48_000
        for number, packet in enumerate(packets):
            if not 50 <= number < 60:
                await talk.socket.send(HEADER.pack(number, number * 960) + packet)
        await talk.socket.send(HEADER.pack(len(packets), len(packets) * 960) + b"\x98\xff\xff")
        await talk.say(type="end")
        await talk.until("goodbye")
    gaps = [(e["sample"], e["end_sample"], e["reason"]) for e in talk.events if e["type"] == "gap"]
    assert gaps[0] == (16_000, 19_200, "packet loss")
    assert talk.events[-1]["decided_sample"] in range(len(packets) * 320, len(packets) * 320 + 321)


async def test_audio_that_is_not_finite_is_a_gap_of_its_own_length(server):
    async with talking(server) as talk:
        await talk.start(encoding="f32le")
        await talk.socket.send(np.zeros(RATE, "<f4").tobytes())
        await talk.socket.send(np.full(800, np.nan, "<f4").tobytes())
        assert (await talk.until("error"))["code"] == "bad_audio"
        await talk.socket.send(np.zeros(RATE, "<f4").tobytes())
        await talk.say(type="end")
        await talk.until("goodbye")
    assert [(e["sample"], e["end_sample"]) for e in talk.events if e["type"] == "gap"] == [(RATE, RATE + 800)]


async def test_a_message_that_is_too_large_ends_the_connection(serving):
    async with serving(max_message_bytes=1 << 10) as server, talking(server) as talk:
        await talk.start()
        await talk.socket.send(bytes((1 << 10) + 1))
        with pytest.raises(ConnectionClosed):
            await talk.next()
        assert talk.socket.close_code == 1009


async def test_beyond_capacity_a_stream_is_refused_and_the_others_go_on(serving):
    async with serving(max_streams=2, max_streams_per_address=2) as server, talking(server) as first:
        await first.start(windows=True)
        async with talking(server) as second:
            await second.start()
            busy = await hello_refused(server, '{"type":"start"}')
            assert (busy["code"], busy["close"]) == ("busy", 1013)
            assert busy["retry_after"] > 0
            await second.say(type="end")
            await second.until("goodbye")
        await first.socket.send(pcm(1.0))
        await first.say(type="end")
        await first.until("goodbye")
        assert first.events
        await empty(server)
        async with talking(server) as third:
            assert (await third.start())["type"] == "ready"


async def test_a_session_that_has_ended_makes_room_at_once(serving, monkeypatch):
    monkeypatch.setattr(app, "TICK_S", 60.0)
    async with serving(max_streams=1) as server:
        for _ in range(5):
            async with talking(server) as talk:
                assert (await talk.start())["type"] == "ready"
                await talk.say(type="end")
                await talk.until("goodbye")


async def test_sockets_over_the_limit_are_dropped_before_a_word(serving):
    async with serving(max_connections=8, max_streams_per_address=1) as server, contextlib.AsyncExitStack() as stack:
        for _ in range(8):
            await stack.enter_async_context(talking(server))
        with pytest.raises((ConnectionError, ConnectionClosed, InvalidHandshake)):
            await stack.enter_async_context(talking(server))
        assert server.admission.connections == 8


async def test_a_client_that_says_nothing_is_told_and_left(serving):
    async with serving(hello_timeout_s=0.2) as server, talking(server) as talk:
        assert (await talk.until("error"))["code"] == "timeout"


async def test_a_session_without_audio_ends(serving):
    async with serving(idle_timeout_s=1.0) as server, talking(server) as talk:
        await talk.start()
        goodbye = await talk.until("goodbye")
        assert (goodbye["reason"], goodbye["resume"]) == ("idle", False)


async def test_a_client_that_the_server_slows_down_is_not_idle(serving):
    async with serving(idle_timeout_s=1.0, max_rate=2.0, burst_s=1.0) as server, talking(server) as talk:
        await talk.start(stats_interval=0)
        await talk.socket.send(pcm(4.6))  # 1 s at once, and a pause of 1.8 s
        await talk.say(type="end")
        assert (await talk.until("goodbye"))["reason"] == "ended"


async def test_a_client_that_does_not_read_is_cut_off_and_may_come_back_for_its_events(serving):
    event = {"type": "gap", "time": 1.0, "sample": 16000, "decided_sample": 16000, "end_sample": 16001}
    event["reason"] = "x" * 500
    async with serving(send_queue_bytes=1 << 14, send_timeout_s=0.3) as server:
        # A small receive buffer, and nobody reads: the server's socket fills up.
        sock = socket.create_connection(("127.0.0.1", server.port))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        async with talking(server, sock=sock, close_timeout=0.1) as talk:
            ready = await talk.start(stats_interval=0)
            talk.socket.transport.pause_reading()
            [room] = server.rooms
            async with asyncio.timeout(PATIENCE_S):
                while room.attached:
                    room.emit(0, [event] * 50)
                    await asyncio.sleep(0.001)
            assert not room.over
        async with talking(server) as again:
            resumed = await again.start(resume=ready["resume"], last_event=0)
            assert resumed["type"] == "ready", resumed
            assert (await again.next())["id"] == resumed["lost_events"] + 1


async def test_a_fast_client_is_paced_and_not_buffered(serving):
    async with serving(max_rate=2.0, burst_s=1.0) as server, talking(server) as talk:
        await talk.start(windows=True)
        began = asyncio.get_running_loop().time()
        for _ in range(20):
            await talk.socket.send(pcm(0.2))
        await talk.say(type="end")
        await talk.until("goodbye")
        # 4 s of audio: 1 s at once, the rest at twice real time.
        assert asyncio.get_running_loop().time() - began >= 1.4


async def test_another_connection_with_the_token_takes_the_session_over(server):
    async with talking(server) as old, talking(server) as new:
        ready = await old.start()
        assert (await new.start(resume=ready["resume"]))["resumed"]
        assert (await old.until("goodbye"))["reason"] == "replaced"
        await new.say(type="end")
        await new.until("goodbye")


async def test_a_voice_is_enrolled_renamed_and_removed_over_the_wire(server):
    async with talking(server) as talk:
        await talk.start(stats_interval=0)
        await talk.say(type="enroll", action="start", name="Ada")
        assert (await talk.until("enrolment"))["state"] == "listening"
        for seed in range(6):
            await talk.socket.send(pcm(2.0, seed))
        await talk.say(type="flush")
        await talk.until("flushed")
        assert [m for m in talk.messages if m["type"] == "enrolment"][-1]["speech"] > 0
        await talk.say(type="enroll", action="commit", force=True)
        while (report := await talk.until("enrolment"))["state"] == "listening":
            pass
        assert report["state"] == "committed"
        for message, names in (
            ({"action": "list"}, ["Ada"]),
            ({"action": "rename", "speaker": "Ada", "to": "Grace"}, ["Grace"]),
            ({"action": "remove", "speaker": "Grace"}, []),
        ):
            await talk.say(type="speakers", request=1, **message)
            assert [who["name"] for who in (await talk.until("speaker_list"))["speakers"]] == names
        await talk.say(type="speakers", action="name", speaker="guest-9", to="Eve", request=2)
        error = await talk.until("error")
        assert (error["code"], error["request"]) == ("unknown_speaker", 2)


async def test_a_draining_server_says_goodbye_and_another_goes_on_where_it_stopped(serving, tmp_path):
    audio = pcm(6.0)
    options = {"windows": True, "embeddings": True, "stats_interval": 0}
    async with serving() as server, talking(server) as clean:
        await clean.start(**options)
        await clean.socket.send(audio)
        await clean.say(type="end")
        await clean.until("goodbye")
    async with serving(state_dir=str(tmp_path / "state")) as server, talking(server) as talk:
        ready = await talk.start(**options)
        await talk.socket.send(audio[: 2 * 3 * RATE])
        await talk.say(type="flush")
        await talk.until("flushed")
        draining = asyncio.create_task(server.drain())
        goodbye = await talk.until("goodbye")
        assert (goodbye["reason"], goodbye["resume"]) == ("draining", True)
        await draining
        refused = await hello_refused(server, '{"type":"start"}')
        assert refused["code"] == "busy"
    [kept] = (tmp_path / "state").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    before = talk.events
    async with serving(state_dir=str(tmp_path / "state")) as server, talking(server) as talk:
        resumed = await talk.start(resume=ready["resume"], last_event=before[-1]["id"], position=0)
        assert (resumed["resumed"], resumed["position"]) == (True, 3 * RATE)
        await talk.socket.send(audio[2 * 3 * RATE :])
        await talk.say(type="end")
        await talk.until("goodbye")
    assert before + talk.events == clean.events
    assert not any(file.stat().st_size for file in (tmp_path / "state").iterdir())


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda kept: None, None),
        (lambda kept: kept.write_bytes(kept.read_bytes()[:-200]), "unknown_session"),
        (lambda kept: os.utime(kept, (0, 0)), "unknown_session"),
    ],
    ids=["as it was left", "damaged", "old"],
)
async def test_an_old_or_damaged_state_is_not_taken(serving, tmp_path, change, code):
    state = tmp_path / "state"
    async with serving(state_dir=str(state)) as server, talking(server) as talk:
        ready = await talk.start()
        draining = asyncio.create_task(server.drain())
        await talk.until("goodbye")
        await draining
    [kept] = state.iterdir()
    change(kept)
    async with serving(state_dir=str(state)) as server, talking(server) as talk:
        await talk.socket.send(json.dumps({"type": "start", "resume": ready["resume"]}))
        answer = await talk.until("ready" if code is None else "error")
        assert answer.get("code") == code


async def test_a_store_that_fails_once_is_asked_again(server, tmp_path, local_model, monkeypatch):
    people, asked = server.rooms._people, []

    async def fail() -> bool:
        asked.append(1)
        monkeypatch.undo()
        raise RuntimeError("the disk coughed")

    monkeypatch.setattr(people, "refresh", fail)
    async with asyncio.timeout(PATIENCE_S):
        while not asked:  # noqa: ASYNC110 - the store is asked each second
            await asyncio.sleep(0.05)
    await test_a_change_of_the_store_reaches_running_streams(server, tmp_path, local_model)


async def test_a_change_of_the_store_reaches_running_streams(server, tmp_path, local_model):
    async with talking(server) as talk:
        await talk.start(stats_interval=0)
        room = next(iter(server.rooms))
        with SpeakerStore(tmp_path / "speakers.db") as other:
            voice = np.ones(local_model.dimension, np.float32)
            await asyncio.to_thread(other.add, "Ada", local_model.fingerprint, [Exemplar(voice, 5.0)])
        async with asyncio.timeout(PATIENCE_S):
            while room.channels[0].tracker.roster.names != ("Ada",):  # noqa: ASYNC110 - the store is asked each second
                await asyncio.sleep(0.05)

"""A telephone call over a real socket, as Twilio makes it: heard like any session, told of by the webhook."""

from __future__ import annotations

import asyncio
import json
import threading
import time

import pytest
from talking import empty, talking
from telephone import CALL, CHUNK, STREAM, calling, chunks, media, mulaw, start, stop, telephoned, voices, working
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close

from streamer import protocol
from streamer.audio.files import read_audio
from streamer.demo import ENROLMENT
from streamer.engine.engine import Engine
from streamer.errors import ConfigurationError
from streamer.server.auth import new_token
from streamer.server.twilio import Translator, sign
from streamer.sinks.webhook import verify

BOTH = ("inbound", "outbound")
HOOK = {"twilio_webhook": "http://127.0.0.1:9/"}


def grown() -> Engine:
    """The default weights: seeded ones hear no speech, and have nothing to say."""
    return Engine("default", device="cpu", threads=1)


def events(office) -> list[dict]:
    """What was decided, as a native client would see it."""
    own = {"call", "stream", "session", "track"}
    return [{k: v for k, v in event.items() if k not in own} for event in office.events if "id" in event]


async def test_a_call_says_what_the_session_of_a_native_client_says(serving):
    audio = voices(0, 8)
    async with working() as office, serving(grown(), twilio_webhook=office.url) as server:
        async with calling(server) as call:
            await call.dial(step="1.0", agent="7")
            await call.speak(audio)
            await call.say(stop())
            assert await call.closed() == (1000, "ended")
        end = await office.until("call_end")
        async with talking(server) as talk:
            await talk.start(encoding="mulaw", sample_rate=8_000, step=1.0, stats_interval=0)
            await talk.socket.send(audio)
            await talk.say(type="end")
            await talk.until("goodbye")
    assert talk.events
    assert events(office) == talk.events
    begin = office.events[0]
    assert begin | {"session": ""} == {
        "type": "call_start",
        "call": CALL,
        "stream": STREAM,
        "session": "",
        "tracks": ["inbound"],
        "parameters": {"agent": "7"},
    }
    assert (end["reason"], end["events"]) == ("ended", len(talk.events))
    assert {event["track"] for event in office.events if "id" in event} == {"inbound"}
    for event in events(office):
        protocol.check(event, "server")


async def test_who_was_enrolled_over_a_telephone_is_known_on_one(serving):
    async with working() as office, serving(grown(), twilio_webhook=office.url) as server:
        for name, file in ENROLMENT.items():
            async with talking(server) as talk:
                await talk.start(encoding="mulaw", sample_rate=8_000, stats_interval=0)
                await talk.say(type="enroll", action="start", name=name)
                await talk.socket.send(telephoned(read_audio(file).mono_16k()))
                await talk.say(type="flush")
                await talk.until("flushed")
                await talk.say(type="enroll", action="commit", force=True)
                while (await talk.until("enrolment"))["state"] != "committed":
                    pass
        async with calling(server) as call:
            await call.dial(roster="carol, angus")
            await call.speak(voices(0, 13))
            await call.say(stop())
            await call.closed()
        await office.until("call_end")
    assert [event["speaker"] for event in office.events if event["type"] == "turn_end"] == ["carol", "angus"]


async def test_both_tracks_are_channels_each_heard_as_if_alone(serving):
    said = {"inbound": voices(0, 6), "outbound": voices(8, 14)}
    async with working() as office, serving(grown(), twilio_webhook=office.url) as server:
        async with calling(server) as call:
            await call.dial(*BOTH)
            for number, pair in enumerate(zip(*map(chunks, said.values()), strict=True), start=1):
                for track, payload in zip(BOTH, pair, strict=True):
                    await call.say(media(number, payload, track=track))
            await call.say(stop())
            await call.closed()
        await office.until("call_end")
        alone = {}
        for track, audio in said.items():
            async with talking(server) as talk:
                await talk.start(encoding="mulaw", sample_rate=8_000, stats_interval=0)
                await talk.socket.send(audio)
                await talk.say(type="end")
                await talk.until("goodbye")
                alone[track] = [(e["type"], e["sample"], e.get("speaker")) for e in talk.events]
    for track in BOTH:
        heard = [event for event in office.events if event.get("track") == track]
        assert alone[track]
        assert [(e["type"], e["sample"], e.get("speaker")) for e in heard] == alone[track]
        assert {event["channel"] for event in heard} == {BOTH.index(track)}


@pytest.mark.parametrize(("wanted", "names"), [("mixed", ["mixed"]), ("outbound", ["outbound"]), ("split", [*BOTH])])
async def test_the_parameter_tracks_chooses_who_is_listened_to(serving, wanted, names):
    async with working() as office, serving(twilio_webhook=office.url) as server:
        async with calling(server) as call:
            await call.dial(*BOTH, tracks=wanted)
            await call.speak(mulaw(1.0), track="outbound")
            await call.say(stop())
            await call.closed()
        assert (await office.until("call_start"))["tracks"] == names
        assert (await office.until("call_end"))["reason"] == "ended"


async def test_chunks_that_never_came_are_gaps_of_their_length(serving):
    audio = chunks(mulaw(4.0))
    async with working() as office, serving(twilio_webhook=office.url) as server:
        async with calling(server) as call:
            await call.dial()
            await call.say(media(1, audio[0]))
            for number, payload in enumerate(audio, start=1):
                if not 101 <= number <= 125:
                    await call.say(media(number, payload, at_ms=20 * (number - 1) + (3_000 if number > 150 else 0)))
            await call.say(stop())
            await call.closed()
        await office.until("call_end")
    assert office.events[-1]["duplicates"] == 1
    gaps = [(e["sample"], e["end_sample"], e["reason"]) for e in office.events if e["type"] == "gap"]
    assert gaps == [
        (2 * 100 * CHUNK, 2 * 125 * CHUNK, "packet loss"),
        (2 * 150 * CHUNK, 2 * 150 * CHUNK + 48_000, "skipped by the client"),
    ]


async def test_what_one_track_alone_has_lost_is_an_event_of_that_track(serving):
    audio = chunks(mulaw(2.0))
    async with working() as office, serving(twilio_webhook=office.url) as server:
        async with calling(server) as call:
            await call.dial(*BOTH)
            for number, payload in enumerate(audio, start=1):
                await call.say(media(number, payload, track="inbound"))
                if not 41 <= number <= 60:
                    await call.say(media(number, payload, track="outbound"))
            await call.say(stop())
            await call.closed()
        await office.until("call_end")
    gaps = [(e["track"], e["sample"], e["end_sample"], e["reason"]) for e in office.events if e["type"] == "gap"]
    assert gaps == [("outbound", 2 * 40 * CHUNK, 2 * 60 * CHUNK, "packet loss, outbound only")]


async def test_a_call_that_is_cut_off_is_heard_to_its_last_word_and_leaves_nothing_behind(serving):
    audio = voices(0, 5)
    async with working() as office, serving(grown(), twilio_webhook=office.url) as server:
        async with calling(server) as call:
            await call.dial(step="1.0")
            await call.speak(audio)
            await call.socket.close()
        assert (await office.until("call_end"))["reason"] == "ended"
        whole = events(office)
        await empty(server)
        assert server.admission.streams == 0
        office.events.clear()
        async with calling(server) as call:
            await call.dial(step="1.0")
            await call.speak(audio)
            await call.say(stop())
            await call.closed()
        await office.until("call_end")
    assert [event["type"] for event in whole].count("turn_end") > 0
    assert whole == events(office)


async def test_the_token_comes_as_a_parameter_and_is_told_to_nobody(serving, tmp_path):
    token, line = new_token("phone", ["stream"])
    reader, other = new_token("reader", ["admin"])
    (tmp_path / "tokens").write_text(f"{line}\n{other}\n")
    (tmp_path / "secret").write_text("s3cret\n")
    settings = {"token_file": str(tmp_path / "tokens"), "twilio_secret_file": str(tmp_path / "secret")}
    async with working() as office, serving(twilio_webhook=office.url, **settings) as server:
        for parameters, code in (
            ({}, "unauthorized"),
            ({"token": "guess"}, "unauthorized"),
            ({"token": reader}, "forbidden"),
        ):
            async with calling(server) as call:
                await call.dial(**parameters)
                assert await call.closed() == (1008, code)
        assert server.admission.streams == 0
        assert office.events == []
        async with calling(server) as call:
            await call.dial(token=token)
            await call.speak(mulaw(1.0))
            await call.say(stop())
            assert await call.closed() == (1000, "ended")
        await office.until("call_end")
    assert office.signatures
    for signature, body in office.signatures:
        assert verify("s3cret", body, signature, time.time())
        assert token.encode() not in body


def changed(**fields: object) -> str:
    message = start()
    message["start"].update(fields)
    return json.dumps(message)


WRONG = {
    "not JSON": ("{", "invalid_message"),
    "nested": ("[" * 50_000, "invalid_message"),
    "no object": ("[]", "invalid_message"),
    "no event": ('{"event": 1}', "invalid_message"),
    "binary": (b"\0\0", "invalid_message"),
    "media first": (json.dumps(media(1, b"\0")), "wrong_order"),
    "stop first": (json.dumps(stop()), "wrong_order"),
    "empty start": ('{"event": "start"}', "invalid_message"),
    "other format": (changed(mediaFormat={"encoding": "audio/x-l16", "sampleRate": 16_000}), "unsupported"),
    "no tracks": (changed(tracks=[]), "invalid_message"),
    "odd track": (changed(tracks=["sideways"]), "invalid_message"),
    "no call": (changed(callSid=""), "invalid_message"),
    "no text": (changed(customParameters={"step": 1}), "invalid_message"),
    "step nan": (changed(customParameters={"step": "nan"}), "invalid_message"),
    "step too long": (changed(customParameters={"step": "1000"}), "invalid_message"),
    "track not sent": (changed(customParameters={"tracks": "outbound"}), "invalid_message"),
    "nobody": (changed(customParameters={"roster": "Nobody"}), "unknown_speaker"),
}


async def test_a_wrong_beginning_closes_the_connection_and_harms_no_other_call(serving):
    audio = chunks(mulaw(2.0))
    async with working() as office, serving(twilio_webhook=office.url) as server, calling(server) as good:
        await good.dial()
        for number, (name, (first, code)) in enumerate(WRONG.items(), start=1):
            await good.say(media(number, audio[number - 1]))
            async with calling(server) as bad:
                await bad.socket.send(first)
                assert await bad.closed() == (1008, code), name
        for number in range(len(WRONG) + 1, len(audio) + 1):
            await good.say(media(number, audio[number - 1]))
        await good.say(stop())
        assert await good.closed() == (1000, "ended")
        await office.until("call_end")
        await empty(server)
        assert server.admission.streams == 0
    assert [event["type"] for event in office.events].count("call_start") == 1
    assert [event for event in office.events if event["type"] in ("error", "gap")] == []


async def test_a_call_that_is_refused_is_closed_without_a_word(serving):
    async with working() as office, serving(twilio_webhook=office.url) as server, calling(server) as call:
        await call.dial(tracks="nobody")
        with pytest.raises(ConnectionClosed) as closed:
            await call.socket.recv()
        assert closed.value.rcvd == Close(1008, "invalid_message")


async def test_a_port_that_is_taken_leaves_no_thread_behind(serving, server):
    webhooks = [thread for thread in threading.enumerate() if thread.name == "streamer-webhook"]
    with pytest.raises(OSError, match="in use"):
        async with serving(port=server.port, twilio_webhook="http://127.0.0.1:9/"):
            pass
    assert [thread for thread in threading.enumerate() if thread.name == "streamer-webhook"] == webhooks


async def test_a_bad_chunk_is_told_and_missing_and_ten_of_them_end_the_call(serving):
    audio = chunks(mulaw(2.0))
    bad = media(51, audio[50])
    bad["media"]["payload"] = "no base64!"
    async with working() as office, serving(twilio_webhook=office.url) as server:
        async with calling(server) as call:
            await call.dial()
            for number, payload in enumerate(audio, start=1):
                await call.say(bad if number == 51 else media(number, payload))
            await call.say(start())
            for _ in range(7):
                await call.say(bad)
            await call.say({"event": "mark", "mark": {"name": "ours"}})
            await call.say({"event": "dtmf", "dtmf": {"track": "inbound", "digit": "4"}})
            assert (await office.until("error"))["code"] == "bad_audio"
            await call.socket.send("}")
            assert await call.closed() == (1000, "ended")
        await office.until("call_end")
    errors = [event for event in office.events if event["type"] == "error"]
    assert [error["code"] for error in errors] == ["bad_audio", "wrong_order", *["bad_audio"] * 7, "invalid_message"]
    assert [error["fatal"] for error in errors] == [False] * 9 + [True]
    gaps = [(e["sample"], e["end_sample"]) for e in office.events if e["type"] == "gap"]
    assert gaps == [(2 * 50 * CHUNK, 2 * 51 * CHUNK)]
    assert "dtmf" not in json.dumps(office.events)


async def test_a_leap_of_the_time_stamps_beyond_an_hour_ends_the_call_only(serving):
    async with working() as office, serving(twilio_webhook=office.url) as server:
        async with calling(server) as call:
            await call.dial()
            await call.say(media(1, bytes(CHUNK)))
            await call.say(media(2, bytes(CHUNK), at_ms=5_000_000))
            assert (await call.closed())[0] == 1008
        assert (await office.until("error"))["code"] == "gap_too_long"
        await empty(server)
        assert server.admission.streams == 0


async def test_a_caller_that_says_nothing_is_left(serving):
    async with working() as office:
        async with serving(twilio_webhook=office.url, hello_timeout_s=0.2) as server, calling(server) as call:
            await call.say({"event": "connected", "protocol": "Call", "version": "1.0.0"})
            assert await call.closed() == (1008, "timeout")
        assert office.events == []


async def test_a_server_that_stops_ends_its_calls_and_tells_of_them(serving):
    async with working() as office, serving(twilio_webhook=office.url) as server:
        async with calling(server) as call:
            await call.dial()
            await call.speak(mulaw(1.0))
            await office.until("call_start")
            draining = asyncio.create_task(server.drain())
            assert await call.closed() == (1012, "draining")
            await draining
        assert (await office.until("call_end"))["reason"] == "draining"
        await empty(server)


async def test_a_webhook_that_is_gone_costs_a_call_its_events_only_and_is_seen_in_the_metrics(serving, caplog):
    caplog.set_level("WARNING", logger="streamer.server")
    async with serving(twilio_webhook="http://127.0.0.1:9/", grace_s=0.2) as server:
        async with calling(server) as call:
            await call.dial()
            await call.speak(mulaw(1.0))
            await call.say(stop())
            assert await call.closed() == (1000, "ended")
        await empty(server)
    metrics = server.metrics.text().decode()
    # The beginning and the end of the call; of noise there is nothing to tell.
    assert 'streamer_webhook_events{result="dropped"} 2.0' in metrics
    assert 'streamer_webhook_events{result="sent"} 0.0' in metrics
    assert [record.getMessage() for record in caplog.records] == ["events of calls dropped"]


async def test_where_it_is_asked_for_only_what_twilio_signed_is_taken(serving, tmp_path):
    (tmp_path / "auth").write_text("12345\n")
    url = "wss://voices.example/v1/twilio"
    settings = {"twilio_url": url, "twilio_auth_token_file": str(tmp_path / "auth")}
    async with working() as office, serving(twilio_webhook=office.url, **settings) as server:
        for forged in (None, "", "\u00e9", sign(url, "54321"), sign(url.replace("wss", "https"), "12345")):
            with pytest.raises(InvalidStatus, match="403"):
                async with calling(server, forged):
                    pass
        async with calling(server, sign(url, "12345")) as call:
            await call.dial()
            await call.speak(mulaw(1.0))
            await call.say(stop())
            assert await call.closed() == (1000, "ended")
        await office.until("call_end")
        assert [event["type"] for event in office.events].count("call_start") == 1
        async with talking(server) as talk:  # Other clients are not asked for it.
            await talk.start(stats_interval=0)


async def test_without_a_webhook_there_is_nobody_to_tell_and_no_call_is_taken(server):
    with pytest.raises(InvalidStatus, match="404"):
        async with calling(server):
            pass


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"twilio_webhook": "ftp://example.org"}, "http"),
        ({**HOOK, "twilio_secret_file": "/nowhere/secret"}, "can't be read"),
        ({"twilio_secret_file": "secret"}, "twilio_webhook, which is not set"),
        ({**HOOK, "twilio_url": "wss://voices.example/v1/twilio"}, "belong together"),
        ({**HOOK, "twilio_auth_token_file": "auth"}, "belong together"),
        ({"twilio_url": "wss://voices.example/v1/twilio", "twilio_auth_token_file": "auth"}, "none are taken"),
        ({**HOOK, "twilio_url": "https://voices.example/", "twilio_auth_token_file": "auth"}, "wss:// only"),
        ({**HOOK, "twilio_url": "wss://voices.example/", "twilio_auth_token_file": "/nowhere/auth"}, "can't be read"),
    ],
)
async def test_a_setting_that_cannot_work_is_said_at_the_start(serving, settings, says):
    with pytest.raises(ConfigurationError, match=says):
        async with serving(**settings):
            pass


def test_what_a_call_was_told_in_confidence_is_not_in_its_repr():
    translator = Translator()
    translator.receive(json.dumps(start(token="s3cret", name="Ada")))
    assert translator.call is not None
    assert translator.call.token == "s3cret"
    assert "s3cret" not in repr(translator.call)

"""Recordings over plain HTTP: whose voice it is, its embedding, an enrolment; and whatever else comes as a body."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import httpx2
import numpy as np
import pytest
import soundfile
from asking import asking, wav, wave
from talking import PATIENCE_S, pcm, talking

from streamer.audio.files import read_audio
from streamer.demo import CONVERSATION, ENROLMENT
from streamer.engine.engine import Engine
from streamer.inference import Inference
from streamer.models.model import Model
from streamer.server.auth import new_token
from streamer.verification import cosine


@pytest.fixture
def real():
    """The default weights: seeded ones know nobody."""
    return Engine("default", device="cpu", threads=1)


async def test_a_recording_says_who_speaks_when_and_is_enrolled_from(serving, real):
    async with serving(real) as server, asking(server) as client:
        for name, path in ENROLMENT.items():
            answer = await client.put(f"/v1/speakers/{name}", content=path.read_bytes())
            assert (answer.status_code, answer.json()["advice"]) == (200, [])
        found = (await client.post("/v1/identify", content=CONVERSATION.read_bytes())).json()
        assert {"angus", "brian", "carol", "guest-1"} <= {who["name"] for who in found["speakers"]}
        assert found["turns"][0]["speaker"] in ENROLMENT
        assert found["duration"] == pytest.approx(soundfile.info(CONVERSATION).duration, abs=0.01)
        # A recording of one person, in a form, of another kind.
        samples = read_audio(ENROLMENT["brian"]).mono_16k()[:80_000]
        form = {"file": ("brian.flac", wave(samples, "FLAC"), "audio/flac")}
        found = (await client.post("/v1/identify", files=form, data={"note": "x"})).json()
        best = found["candidates"][0]
        assert (best["name"], best["probability"] > 0.9) == ("brian", True)
        assert sum(one["probability"] for one in found["candidates"]) <= 1
        for path in ("/v1/identify", "/v1/embed", "/v1/speakers/eve"):
            silent = await client.request("PUT" if "eve" in path else "POST", path, content=wave(np.zeros(64_000)))
            assert silent.status_code == 422, path


async def test_an_embedding_is_that_of_the_offline_interface(serving, real):
    async with serving(real) as server, asking(server) as client:
        answer = (await client.post("/v1/embed", content=ENROLMENT["carol"].read_bytes())).json()
        offline = Inference(Model.from_pretrained("default"), window="whole")
        same = np.asarray(offline(str(ENROLMENT["carol"])))[0]
        # Pauses count for less here than there.
        assert cosine(np.array(answer["embedding"], np.float32), same) > 0.98
        other = np.asarray(offline(str(ENROLMENT["angus"])))[0]
        assert cosine(np.array(answer["embedding"], np.float32), other) < 0.6


async def test_people_are_looked_at_renamed_and_removed(server):
    async with asking(server) as client:
        assert (await client.get("/v1/speakers/Ada")).status_code == 404
        refused = await client.put("/v1/speakers/Ada", content=wav(12.0))
        assert refused.status_code == 422
        assert refused.json()["advice"]
        enrolled = await client.put("/v1/speakers/Ada?force=true", content=wav(12.0))
        assert (enrolled.status_code, enrolled.json()["name"]) == (200, "Ada")
        there = (await client.get("/v1/speakers/ada")).json()
        assert (there["name"], there["exemplars"]) == ("Ada", enrolled.json()["exemplars"])
        assert (await client.patch("/v1/speakers/Ada", json={"name": "Grace Höpper"})).json()["name"] == "Grace Höpper"
        assert (await client.get("/v1/speakers")).json()["speakers"][0]["name"] == "Grace Höpper"
        await client.put("/v1/speakers/Bob?force=true", content=wav(12.0))
        assert (await client.patch("/v1/speakers/Bob", json={"name": "Grace Höpper"})).status_code == 409
        assert (await client.patch("/v1/speakers/Bob", json={"name": "guest-1"})).status_code == 400
        assert (await client.patch("/v1/speakers/Bob", content=b"{")).status_code == 400
        assert (await client.delete("/v1/speakers/Grace%20H%C3%B6pper")).status_code == 200
        assert (await client.delete("/v1/speakers/Grace")).status_code == 404
        assert (await client.put("/v1/speakers/guest-1", content=wav())).status_code == 400
        assert (await client.put("/v1/speakers/Ada?forse=true", content=wav())).status_code == 400


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid_message"),
        (b"no audio at all, but text that goes on for a while", 415, "unsupported"),
        (b"RIFF\xff\xff\xff\xffWAVEfmt ", 415, "unsupported"),
        (wav(0.0), 422, "too_short"),
        (wav(0.2), 422, "too_short"),
        (wav(31.0), 413, "too_long"),
        (bytes(2_000_000), 413, "too_large"),
    ],
    ids=["nothing", "text", "broken", "no samples", "short", "long", "large"],
)
@pytest.mark.parametrize("path", ["/v1/identify", "/v1/embed"])
async def test_what_is_no_recording_is_said_in_plain_words(serving, path, body, status, code):
    async with serving(max_upload_s=30, max_upload_bytes=1 << 20) as server, asking(server) as client:
        for answer in (
            await client.post(path, content=body),
            await client.post(path, files={"file": ("a.wav", body)}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
            assert "/" not in answer.json()["detail"].replace("n/a", "")  # no path of ours
        assert server.admission.streams == 0


async def test_forms_that_are_none_are_refused(server):
    async with asking(server) as client:
        for kind, body in (
            ("multipart/form-data", b"x"),
            ("multipart/form-data; boundary=a", b"no form"),
            (
                "multipart/form-data; boundary=a",
                b'--a\r\nContent-Disposition: form-data; name="f"\r\n\r\nx\r\n--a--\r\n',
            ),
        ):
            answer = await client.post("/v1/embed", content=body, headers={"Content-Type": kind})
            assert answer.status_code == 400, (kind, answer.text)
        several = [("file", ("a.wav", wav())), ("file", ("b.wav", wav()))]
        assert (await client.post("/v1/embed", files=several)).status_code == 400


async def test_the_rules_of_the_websocket_hold(serving, tmp_path):
    made = {name: new_token(name, [name]) for name in ("stream", "enroll", "admin", "watch")}
    (tmp_path / "tokens").write_text("\n".join(line for _, line in made.values()))
    tasks = {
        ("POST", "/v1/identify"): "stream",
        ("POST", "/v1/embed"): "stream",
        ("GET", "/v1/speakers"): "stream",
        ("GET", "/v1/speakers/Ada"): "stream",
        ("PUT", "/v1/speakers/Ada"): "enroll",
        ("PATCH", "/v1/speakers/Ada"): "admin",
        ("DELETE", "/v1/speakers/Ada"): "admin",
    }
    async with serving(token_file=str(tmp_path / "tokens")) as server, asking(server) as client:
        for (method, path), scope in tasks.items():
            assert (await client.request(method, path)).status_code == 401
            assert (await client.request(method, path, headers={"Authorization": "Bearer x"})).status_code == 401
            for name, (token, _) in made.items():
                answer = await client.request(method, path, headers={"Authorization": f"Bearer {token}"})
                assert (answer.status_code == 403) == (name != scope), (method, path, name, answer.text)
    async with serving() as server, asking(server) as client:
        for method, path in tasks:
            for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
                assert (await client.request(method, path, headers=headers)).status_code == 403
            page = {"Host": "evil.example", "Origin": "http://evil.example"}
            assert (await client.request(method, path, headers=page)).status_code == 403
    async with serving(origins=("https://rooms.example",)) as server, asking(server) as client:
        page = {"Origin": "https://rooms.example"}
        asked = {**page, "Access-Control-Request-Method": "POST"}
        assert (await client.options("/v1/identify", headers=asked)).status_code == 200
        answer = await client.post("/v1/embed", content=wav(), headers=page)
        assert answer.headers["Access-Control-Allow-Origin"] == "https://rooms.example"


async def test_a_recording_counts_as_a_stream(serving):
    async with serving(max_streams=1) as server, asking(server) as client, talking(server) as talk:
        await talk.start()
        busy = await client.post("/v1/embed", content=wav())
        assert (busy.status_code, busy.json()["code"]) == (503, "busy")
        assert int(busy.headers["Retry-After"]) > 0
    async with serving(max_uploads=0) as server, asking(server) as client:
        assert (await client.post("/v1/embed", content=wav())).status_code == 503


async def test_other_streams_go_on_beside_recordings_and_say_the_same(server):
    async def listened() -> list[tuple]:
        async with talking(server) as talk:
            await talk.start(windows=True, stats_interval=0)
            for part in range(8):
                await talk.socket.send(pcm(0.5, part))
                await asyncio.sleep(0)
            await talk.say(type="end")
            await talk.until("goodbye")
            return [(event["type"], event["sample"], event["id"]) for event in talk.events]

    alone = await listened()
    async with asking(server) as client:
        bad = [client.post("/v1/identify", content=body) for body in (b"x" * 100_000, b"", wav(0.1))]
        good = [client.post("/v1/embed", content=wav(60.0, seed)) for seed in range(1)]
        together, *answers = await asyncio.gather(listened(), *bad, *good)
        assert together == alone
        assert [answer.status_code for answer in answers] == [415, 400, 422, 200]


async def test_who_leaves_is_not_worked_for(server):
    """Its place is free again, whether it left while it sent or while it waited."""
    length = len(wav(120.0))
    for sent in (1000, length):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = f"POST /v1/embed HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
        writer.write(head.encode() + wav(120.0)[:sent])
        async with asyncio.timeout(PATIENCE_S):
            while server.admission.streams == 0:  # noqa: ASYNC110 - the server has no event for it
                await asyncio.sleep(0.005)
        writer.transport.abort()
        async with asyncio.timeout(PATIENCE_S):
            while server.admission.streams or server.admission.connections:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        del reader


async def test_who_sends_too_slowly_is_left(serving):
    async with serving(http_timeout_s=1.0) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST /v1/embed HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc")
        async with asyncio.timeout(PATIENCE_S):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        writer.close()
        assert server.admission.streams == 0


async def test_who_does_not_wait_to_be_asked_hears_why_it_was_refused(serving):
    """A client that sends all of a large body before it reads must not find the connection broken."""
    async with serving(max_upload_bytes=1 << 20) as server:
        body = bytes(20 << 20)

        def post() -> int:
            with httpx2.Client(trust_env=False, timeout=PATIENCE_S) as client:
                return client.post(f"{server.url}v1/embed", content=body).status_code

        assert await asyncio.to_thread(post) == 413


async def test_one_that_asks_first_is_answered_before_it_sends(serving):
    async with serving(max_upload_bytes=1024) as server:
        for length, word in ((5000, b"413"), (200, b"100")):
            with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as asking_first:
                head = f"POST /v1/embed HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
                asking_first.sendall(head.replace("Host: x", "Host: localhost").encode())
                assert word in await asyncio.to_thread(asking_first.recv, 100)

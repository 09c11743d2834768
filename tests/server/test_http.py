"""The plain HTTP side: the page, health, metrics, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json

import pytest
from talking import empty, pcm, talking
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus

from streamer.server.auth import EVERYBODY, new_token
from streamer.server.http import assets


async def get(
    server, path: str, method: str = "GET", host: str = "localhost", **headers: str
) -> tuple[int, Headers, bytes]:
    """A request by hand; one connection each, as the server closes it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {host}",
        *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items()),
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    status, *rest = head.decode().split("\r\n")
    return int(status.split()[1]), Headers(line.split(": ", 1) for line in rest), body


async def test_the_page_is_whole_and_may_load_nothing_else(server):
    status, headers, body = await get(server, "/")
    assert status == 200
    assert b"<title>" in body
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    for path in assets():
        text = (await get(server, path))[2].decode()
        assert "//cdn" not in text
        assert "https://" not in text.replace("https://www.w3.org", "")
    status, _, body = await get(server, "/", If_None_Match=headers["ETag"])
    assert (status, body) == (304, b"")


@pytest.mark.parametrize(
    ("accepted", "packed"), [("gzip, deflate, br", True), ("*", True), ("br", False), ("gzip;q=0", False), ("", False)]
)
async def test_the_page_is_packed_for_those_who_can_unpack_it(server, accepted, packed):
    headers = {"Accept_Encoding": accepted} if accepted else {}
    _, told, body = await get(server, "/", **headers)
    assert told.get("Content-Encoding") == ("gzip" if packed else None)
    assert told["Vary"] == "Accept-Encoding"
    assert b"<title>" in (gzip.decompress(body) if packed else body)


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/healthz", "GET", 200),
        ("/readyz", "GET", 200),
        ("/?room=studio", "GET", 200),
        ("/overlay?room=studio", "GET", 200),
        ("/overlay.html", "GET", 404),
        ("/nothing", "GET", 404),
        ("/../app.py", "GET", 404),
        ("/style.css/", "GET", 404),
        ("/", "POST", 405),
        ("/v1/stream", "GET", 426),
    ],
)
async def test_what_is_there_is_there(server, path, method, status):
    assert (await get(server, path, method))[0] == status


async def test_a_draining_server_lives_and_is_not_ready(server):
    await server.drain()
    assert (await get(server, "/healthz"))[0] == 200
    assert (await get(server, "/readyz"))[0] == 503


async def test_metrics_count_what_happened(server):
    async with talking(server) as talk:
        await talk.start(windows=True)
        await talk.socket.send(pcm(2.0))
        await talk.say(type="nonsense")
        await talk.say(type="end")
        await talk.until("goodbye")
        during = (await get(server, "/metrics"))[2].decode()
    await empty(server)
    after = (await get(server, "/metrics"))[2].decode()
    assert "streamer_streams 1.0" in during
    for line in (
        "streamer_streams 0.0",
        "streamer_sessions_total 1.0",
        "streamer_audio_seconds_total 2.0",
        'streamer_errors_total{code="invalid_message"} 1.0',
        f"streamer_windows_total {sum(event['type'] == 'window' for event in talk.events)}.0",
        f"streamer_events_total {len(talk.events)}.0",
        "streamer_streams_capacity 64.0",
    ):
        assert line in after, line
    assert "streamer_lag_seconds_count 4.0" in after


async def test_metrics_need_the_scope_admin_where_there_are_tokens(serving, tmp_path):
    token, line = new_token("boss", ["admin"])
    (tmp_path / "tokens").write_text(line)
    async with serving(token_file=str(tmp_path / "tokens")) as server:
        assert (await get(server, "/metrics"))[0] == 401
        assert (await get(server, "/metrics", Authorization=f"Bearer {token}"))[0] == 200
    async with serving(token_file=str(tmp_path / "tokens"), public_metrics=True) as server:
        assert (await get(server, "/metrics"))[0] == 200


async def test_metrics_are_not_for_a_page_whose_name_was_made_to_point_here(serving):
    async with serving() as server:
        assert (await get(server, "/metrics"))[0] == 200
        assert (await get(server, "/metrics", host="127.0.0.1:8765"))[0] == 200
        for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::1", ""):
            assert (await get(server, "/metrics", host=host))[0] == 403, host
    async with serving(origins=("https://rooms.example",)) as server:
        assert (await get(server, "/metrics", host="rooms.example"))[0] == 200
    async with serving(public_metrics=True) as server:
        assert (await get(server, "/metrics", host="evil.example"))[0] == 200


async def test_a_full_server_still_says_how_it_does(serving):
    async with serving(max_connections=8) as server, contextlib.AsyncExitStack() as stack:
        while server.admission.connect("203.0.113.7") or server.admission.connect("203.0.113.8"):
            pass  # others take all the connections that there may be
        while server.admission.connections < 8:
            server.admission.connect(f"203.0.113.{server.admission.connections + 20}")
        assert (await get(server, "/healthz"))[0] == 200
        assert (await get(server, "/readyz"))[0] == 200
        assert (await get(server, "/metrics"))[0] == 200
        assert (await get(server, "/"))[0] == 503
        with pytest.raises((InvalidStatus, OSError)):
            await stack.enter_async_context(talking(server))


async def test_those_who_only_hold_a_spare_connection_are_few_and_soon_gone(serving, monkeypatch):
    monkeypatch.setattr("streamer.server.door.SPARE_S", 0.2)
    async with serving(max_connections=8) as server:
        while server.admission.connections < 8:
            server.admission.connect(f"203.0.113.{server.admission.connections}")
        held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(10)]
        async with asyncio.timeout(20):
            for reader, writer in held:
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
                writer.close()
        assert (await get(server, "/healthz"))[0] == 200


async def test_the_page_may_ask_who_is_enrolled_before_anybody_listens(serving, tmp_path):
    listener, listening = new_token("kitchen", ["stream"])
    boss, bossing = new_token("boss", ["admin"])
    (tmp_path / "tokens").write_text(f"{listening}\n{bossing}\n")
    async with serving() as server:
        status, headers, body = await get(server, "/v1/speakers")
        assert (status, headers["Cache-Control"]) == (200, "no-store")
        listed = {"speakers": [], "total": 0, "more": False, "scopes": sorted(EVERYBODY.scopes)}
        assert json.loads(body) == listed
        assert (await get(server, "/v1/speakers?limit=2&after=Ada%20L"))[0] == 200
        for query in ("limit=0", "limit=x", "limit=99999", "token=secret", "limit="):
            assert (await get(server, f"/v1/speakers?{query}"))[0] == 400, query
        # A page of another origin, or one whose name was made to point here, may not.
        assert (await get(server, "/v1/speakers", Origin="https://evil.example"))[0] == 403
        assert (await get(server, "/v1/speakers", host="evil.example"))[0] == 403
    async with serving(token_file=str(tmp_path / "tokens")) as server:
        assert (await get(server, "/v1/speakers"))[0] == 401
        assert (await get(server, "/v1/speakers", Authorization="Bearer nobody's"))[0] == 401
        assert (await get(server, "/v1/speakers", Authorization=f"Bearer {boss}"))[0] == 403
        status, _, body = await get(server, "/v1/speakers", Authorization=f"Bearer {listener}")
        assert (status, json.loads(body)["scopes"]) == (200, ["stream"])

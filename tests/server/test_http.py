"""The plain HTTP side: the page, health, metrics, and nothing else."""

from __future__ import annotations

import asyncio
import gzip

import pytest
from talking import empty, pcm, talking

from streamer.server.auth import new_token
from streamer.server.http import assets


async def get(server, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """A request by hand; one connection each, as the server closes it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items()),
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    status, *rest = head.decode().split("\r\n")
    return int(status.split()[1]), dict(line.split(": ", 1) for line in rest), body


async def test_the_page_is_whole_and_may_load_nothing_else(server):
    status, headers, body = await get(server, "/")
    assert status == 200
    assert b"<title>" in gzip.decompress(body)
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    for path in assets():
        text = gzip.decompress((await get(server, path))[2]).decode()
        assert "//cdn" not in text
        assert "https://" not in text.replace("https://www.w3.org", "")
    status, _, body = await get(server, "/", If_None_Match=headers["ETag"])
    assert (status, body) == (304, b"")


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/healthz", "GET", 200),
        ("/readyz", "GET", 200),
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

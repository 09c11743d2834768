"""Several real `streamer serve` behind a real nginx, and clients that send as fast as people speak."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from streamer.audio.chunks import SAMPLE_RATE as RATE
from streamer.client import Client

PATIENCE_S = 60.0
#: How long nginx waits for a stream of which nothing comes, in tests.
STREAM_SILENCE_S = 4
NGINX = shutil.which("nginx") or next((path for path in ("/usr/sbin/nginx",) if Path(path).exists()), None)
CONFIGURATION = Path(__file__).parents[3] / "deploy" / "nginx.conf"
#: What depends on the last digits of a float, which differ with what is computed together.
DIGITS = ("embedding", "confidence", "score", "margin", "speech")

WRAPPED = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{configuration}
}}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Member:
    """One server. options: of `streamer serve`. log: where its standard error goes. environment: beside the test's."""

    options: list[str]
    log: Path
    port: int = 0
    process: asyncio.subprocess.Process | None = None
    environment: dict[str, str] = field(default_factory=dict)

    async def start(self) -> None:
        command = [sys.executable, "-m", "streamer.cli", "serve", "--port", str(self.port), *self.options]
        with self.log.open("ab") as log:
            self.process = process = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.PIPE, stderr=log, env={**os.environ, **self.environment}
            )
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            line = (await process.stdout.readline()).decode()
        found = re.search(r":(\d+)/", line)
        assert found, line
        self.port = int(found[1])

    async def end(self, number: signal.Signals) -> None:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        await self.process.wait()


@dataclass
class Fleet:
    """The servers, and the port of the proxy in front of them."""

    members: list[Member]
    port: int

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"


@contextlib.asynccontextmanager
async def fleet(
    folder: Path, count: int, *options: str, environments: Sequence[dict[str, str]] = (), **settings: Any
) -> AsyncIterator[Fleet]:
    """So many servers that share `folder`/state.db (or what the settings say) behind nginx.

    environments: what the first of them have in theirs beside this process's own.
    """
    shared = {
        "store": str(folder / "speakers.db"),
        "state_store": f"sqlite:///{folder}/state.db",
        "model": "sincnet",
        "threads": 1,
        "max_streams": 200,
        "max_streams_per_address": 200,
        "snapshot_s": 1.0,
        "ping_interval_s": 1.0,
        "public_metrics": True,
        **settings,
    }
    config = folder / "server.toml"
    config.write_text("".join(f"{name} = {_toml(value)}\n" for name, value in shared.items()))
    members = [Member(["--config", str(config), *options], folder / f"{number}.log") for number in range(count)]
    for member, environment in zip(members, environments, strict=False):
        member.environment = environment
    try:
        await members[0].start()  # it makes the tables
        await asyncio.gather(*(member.start() for member in members[1:]))
        async with _nginx(folder, [member.port for member in members]) as port:
            yield Fleet(members, port)
    finally:
        for member in members:
            if member.process is not None:
                await member.end(signal.SIGKILL)


def _toml(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


@contextlib.asynccontextmanager
async def _nginx(folder: Path, ports: list[int]) -> AsyncIterator[int]:
    """nginx with the project's own configuration, in which only the ports are others."""
    assert NGINX is not None
    port = free_port()
    text = CONFIGURATION.read_text().replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    [line] = re.findall(r"    server 127\.0\.0\.1:8765.*\n", text)
    text = re.sub(r"    server 127\.0\.0\.1:8766.*\n", "", text)
    text = text.replace("timeout 6s;", f"timeout {STREAM_SILENCE_S}s;")
    text = text.replace(line, "".join(line.replace("8765", str(each)) for each in ports))
    (folder / "nginx.conf").write_text(WRAPPED.format(folder=folder, configuration=text))
    process = await asyncio.create_subprocess_exec(
        NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf"), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not await _listens(port):
                assert process.returncode is None, (folder / "error.log").read_text()
                await asyncio.sleep(0.05)
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _listens(port: int) -> bool:
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True
    return False


@dataclass
class Talked:
    """What came of one session. longest_silence_s: between two messages, of which there are four a second."""

    events: list[dict[str, Any]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    reconnects: int = 0
    restarts: int = 0
    longest_silence_s: float = 0.0


async def talk(
    url: str,
    samples: np.ndarray,
    speed: float | None = 1.0,
    delay_s: float = 0.0,
    begun: asyncio.Semaphore | None = None,
    **settings: Any,
) -> Talked:
    """One session that sends these samples at so many times the speed of speech, or as fast as it may.

    begun: released once the session has begun.
    """
    await asyncio.sleep(delay_s)
    found = Talked()
    loop = asyncio.get_running_loop()
    chunk = RATE // 10
    options = {"windows": True, "stats_interval": 0.25, **settings}
    async with Client(url, patience_s=PATIENCE_S, **options) as client, asyncio.TaskGroup() as group:

        async def send() -> None:
            began = loop.time()
            for start in range(0, len(samples), chunk):
                await client.send(samples[start : start + chunk])
                if speed is not None:
                    due = began + (start + chunk) / RATE / speed
                    await asyncio.sleep(max(0.0, due - loop.time()))
            await client.end()

        group.create_task(send())
        if begun is not None:
            begun.release()
        last = time.monotonic()
        async for message in client:
            now = time.monotonic()
            found.longest_silence_s = max(found.longest_silence_s, now - last)
            last = now
            found.messages.append(message)
            if "id" in message:
                found.events.append(message)
        found.reconnects, found.restarts = client.reconnects, client.restarts
    return found


def bare(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Events without what depends on the last digits of a float."""
    return [{name: value for name, value in event.items() if name not in DIGITS} for event in events]


def check(talks: list[Talked], clean: Talked) -> None:
    """No session was lost, no event lost or doubled, and where audio is missing it is said."""
    for one in talks:
        begun_anew = [message for message in one.messages if message["type"] == "restart"]
        assert not begun_anew, begun_anew
        assert not [message for message in one.messages if message["type"] in ("restart", "error")]
        assert [event["id"] for event in one.events] == list(range(1, len(one.events) + 1))
        assert bare(one.events) == bare(clean.events)


async def told(port, wanted):
    """Wait until a server's metrics have this line."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
                text = (await reader.read()).decode()
                writer.close()
                if re.search(wanted, text):
                    return
            await asyncio.sleep(0.1)

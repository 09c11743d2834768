"""The package for JavaScript, in Node against the real server: what the client in Python hears, it hears."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import runpy
import shutil
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from talking import PATIENCE_S, pcm

from streamer.audio.files import read_audio
from streamer.client import Client
from streamer.demo import CONVERSATION
from streamer.engine.engine import Engine
from streamer.server.auth import new_token

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "streamer" / "client" / "javascript"
DRIVER = Path(__file__).parent / "support" / "driver.mjs"
NODE, TSC = shutil.which("node"), shutil.which("tsc")

node = pytest.mark.skipif(NODE is None, reason="Node is not installed")


@contextlib.asynccontextmanager
async def running(task: str, server: Any, **options: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    assert NODE is not None
    # Node before 22 has a WebSocket, but hides it.
    environment = {**os.environ, "NODE_OPTIONS": "--experimental-websocket --no-warnings"}
    environment |= {"STREAMER_CLIENT": str(PACKAGE / "client.js"), "STREAMER_TELL": "1" if task == "talk" else ""}
    url = f"ws://127.0.0.1:{server.port}"
    process = await asyncio.create_subprocess_exec(
        NODE, str(DRIVER), task, url, json.dumps(options), stdout=asyncio.subprocess.PIPE, env=environment,
        limit=1 << 26,
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def answer(process: asyncio.subprocess.Process) -> Any:
    """What the driver came to."""
    assert process.stdout is not None
    async with asyncio.timeout(3 * PATIENCE_S):
        lines = (await process.stdout.read()).decode().splitlines()
    assert lines, "Node said nothing"
    return json.loads(lines[-1])


def events(messages: list[dict]) -> list[tuple]:
    return [(m["id"], m["type"], m["sample"], m.get("speaker")) for m in messages if "id" in m]


@node
@pytest.mark.parametrize("floats", [False, True], ids=["int16", "float32"])
async def test_it_hears_what_the_client_in_python_hears(server, tmp_path, floats):
    (tmp_path / "audio").write_bytes(pcm(8.0))
    async with Client(f"ws://127.0.0.1:{server.port}", windows=True, stats_interval=0) as client:
        await client.send(pcm(8.0))
        await client.end()
        expected = [message async for message in client]
    async with running(
        "talk", server, audio=str(tmp_path / "audio"), windows=True, stats_interval=0, floats=floats
    ) as process:
        found = await answer(process)
    assert events(found["said"]) == events(expected)
    assert found["said"][-1]["reason"] == "ended"
    assert found["ready"]["version"] == 1
    assert found["states"] == ["connecting", "live", "closed"]


@node
async def test_a_lost_connection_loses_no_event_and_no_sound(serving, tmp_path):
    (tmp_path / "audio").write_bytes(pcm(20.0))
    # Paced, so that the loss falls into the middle of it.
    async with serving(max_rate=4.0, burst_s=1.0) as server:
        async with running("talk", server, audio=str(tmp_path / "audio"), windows=True, stats_interval=0) as process:
            assert process.stdout is not None
            for _ in range(3):
                await process.stdout.readline()
            (room,) = server.rooms
            room._presence.connection.abort()
            found = await answer(process)
        async with Client(f"ws://127.0.0.1:{server.port}", windows=True, stats_interval=0) as client:
            await client.send(pcm(20.0))
            await client.end()
            expected = [message async for message in client]
    assert found["states"][:4] == ["connecting", "live", "waiting", "live"]
    assert events(found["said"]) == events(expected)


@node
async def test_people_are_enrolled_listed_and_named(server, tmp_path):
    (tmp_path / "audio").write_bytes(b"".join(pcm(2.0, seed) for seed in range(5)))
    async with running("people", server, audio=str(tmp_path / "audio")) as process:
        found = await answer(process)
    assert found["refused"]["ours"]
    assert found["refused"]["advice"] > 0
    assert found["enrolled"]["state"] == "committed"
    assert found["progress"] == sorted(found["progress"])
    assert [one["name"] for one in found["people"]] == ["Ada"]
    assert found["unknown"] == "unknown_speaker"
    assert found["ping"]["type"] == "pong"
    assert found["words"] == ["Hello."]


@node
async def test_a_guest_is_given_a_name(serving, tmp_path):
    samples = read_audio(CONVERSATION).mono_16k()[: 12 * 16_000]
    (tmp_path / "audio").write_bytes((samples * 32767).astype("<i2").tobytes())
    async with (
        serving(Engine("default", device="cpu", threads=1), burst_s=60.0) as server,
        running("name", server, audio=str(tmp_path / "audio")) as process,
    ):
        found = await answer(process)
    assert [one["name"] for one in found["named"]] == ["Grace"]


@node
async def test_a_token_goes_along_and_a_wrong_one_is_refused_with_a_way_out(serving, tmp_path):
    token, line = new_token("kitchen", ["stream"])
    (tmp_path / "tokens").write_text(line)
    (tmp_path / "audio").write_bytes(pcm(1.0))
    async with serving(token_file=str(tmp_path / "tokens")) as server:
        async with running("talk", server, audio=str(tmp_path / "audio"), token=token) as process:
            assert (await answer(process))["ready"]["scopes"] == ["stream"]
        for wrong in ({"token": "nobody's"}, {}):
            async with running("refused", server, **wrong) as process:
                found = await answer(process)
            assert (found["ours"], found["code"], bool(found["change"])) == (True, "unauthorized", True)


@node
async def test_node_and_a_bundler_find_what_the_package_says_it_has(tmp_path):
    package = json.loads((PACKAGE / "package.json").read_text())
    assert package["version"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert not package.get("dependencies")
    for name in package["files"]:
        assert (PACKAGE / name).is_file(), name
    # What the code imports is among the files.
    for path in PACKAGE.glob("*.js"):
        for imported in re.findall(r'from "\./([^"]+)"', path.read_text()):
            assert imported in package["files"]
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / package["name"]).symlink_to(PACKAGE)
    assert NODE is not None
    script = """import { Client, toPcm } from "speaker-streamer";
        console.log(typeof Client, toPcm(new Float32Array([1, -2]))[1]);"""
    process = await asyncio.create_subprocess_exec(
        NODE, "--input-type=module", "-e", script, cwd=tmp_path, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert said.decode().split() == ["function", "-32768"]


def test_the_types_are_those_of_the_schema():
    made = runpy.run_path(str(ROOT / "docs" / "build_types.py"))["types"]()
    assert (PACKAGE / "protocol.d.ts").read_text(encoding="utf-8") == made, "run python docs/build_types.py"


@pytest.mark.skipif(TSC is None, reason="TypeScript is not installed")
async def test_the_types_fit_how_the_client_is_used(tmp_path):
    (tmp_path / "use.mts").write_text(
        f'''import {{ Client, ServerRefused }} from "{PACKAGE.as_posix()}/client.js";
        const client = new Client("ws://x", {{ roster: ["Ada"], onState: (state) => state === "live" }});
        const ready = await client.open();
        const model: string = ready.model.name;
        await client.send(new Float32Array(3));
        for await (const message of client) {{
          if (message.type === "speaker") console.log(message.speaker.length, message.confidence + 1, model);
          // @ts-expect-error
          if (message.type === "nonsense") console.log();
        }}
        // @ts-expect-error
        new Client("ws://x", {{ rooster: [] }});
        console.log(new ServerRefused("x").retryAfter);
        '''
    )
    assert TSC is not None
    options = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--moduleResolution", "nodenext"]
    process = await asyncio.create_subprocess_exec(
        TSC, *options, "--lib", "es2022,dom,esnext.disposable", "use.mts", cwd=tmp_path, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()

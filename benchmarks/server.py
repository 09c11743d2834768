"""How many rooms one server serves: clients that send a conversation in real time, and when its events come back.

    python benchmarks/server.py --clients 100 --seconds 60

The server runs in a process of its own, all clients in this one, on the same machine: they share its cores. Each client
sends the bundled conversation from a place of its own, in frames of 0.1 s, at 16 kHz. Lag is measured at the client:
from handing the frame with a step's last sample to the socket, to reading the step's window event. Then, in a second
run, as many again knock at the full server all the while, which must refuse them, and let nobody else feel it.
"""

from __future__ import annotations

import argparse
import asyncio
import atexit
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import numpy as np
import soundfile
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from streamer.audio.chunks import SAMPLE_RATE as RATE
from streamer.evaluation.markdown import row, table

FRAME = RATE // 10
#: What the first seconds cost, threads and buffers, is not what a server costs.
WARM_UP_S = 5.0
HEAD = ["", "served", "p50 ms", "p99 ms", "max ms", "windows", "lost", "skipped", "server's CPU", "others"]


@dataclass(slots=True)
class Client:
    """What one client saw. lags: (seconds since the start, lag in seconds). lost: events missing from the numbering."""

    lags: list[tuple[float, float]] = field(default_factory=list)
    events: int = 0
    lost: int = 0
    skipped: int = 0
    outcome: str = "none"


async def run(url: str, audio: bytes, start_at: float, seconds: float, step: float) -> Client:
    """One client from `start` to `goodbye`, pacing itself by the clock."""
    seen = Client()
    loop = asyncio.get_running_loop()
    sent: list[float] = []
    start = {"type": "start", "step": step, "windows": True, "stats_interval": 0}
    async with connect(url, compression=None, proxy=None, ping_interval=None) as socket:
        await socket.send(json.dumps(start))
        answer = json.loads(await socket.recv())
        if answer["type"] != "ready":
            seen.outcome = answer["code"]
            return seen

        async def send() -> None:
            for number in range(int(seconds * 10)):
                await asyncio.sleep(start_at + number / 10 - loop.time())
                at = 2 * FRAME * number % (len(audio) - 2 * FRAME)
                sent.append(loop.time())
                await socket.send(audio[at : at + 2 * FRAME])
            await socket.send('{"type":"end"}')

        sender = asyncio.create_task(send())
        try:
            async for text in socket:
                now = loop.time()
                message = json.loads(text)
                if "id" in message:
                    seen.events += 1
                    seen.lost += message["id"] != seen.events
                    if seen.events % 20 == 0:  # or the server would keep them for a resume
                        with suppress(ConnectionClosed):  # it has said goodbye; that is still to be read
                            await socket.send(json.dumps({"type": "ack", "event": seen.events}))
                    whole = message["decided_sample"] % round(step * RATE) == 0
                    if message["type"] == "window" and whole:
                        asked = sent[message["decided_sample"] // FRAME - 1]
                        seen.lags.append((asked - start_at, now - asked))
                    seen.skipped += message.get("skipped", 0)
                seen.outcome = message["reason"] if message["type"] == "goodbye" else seen.outcome
        except ConnectionClosed as error:
            seen.outcome = f"cut ({error})"
        with suppress(ConnectionClosed):  # how it ended is in the outcome
            await sender
    return seen


async def crowd(
    port: int, clients: int, more: int, seconds: float, step: float, audio: np.ndarray
) -> tuple[list[Client], list[Client]]:
    """So many clients, their steps spread evenly over time; and those who knock when they have warmed up."""
    loop = asyncio.get_running_loop()
    url, begin = f"ws://127.0.0.1:{port}/v1/stream", loop.time() + 1.0
    runs = []
    for number in range(clients):
        own = np.roll(audio, -number * len(audio) // clients).tobytes()
        runs.append(run(url, own, begin + number / clients * step, seconds, step))

    async def knock(number: int) -> Client:
        at = begin + WARM_UP_S + number / more * (seconds - 2 * WARM_UP_S)
        await asyncio.sleep(at - loop.time())
        return await run(url, audio.tobytes(), at, seconds, step)

    found = await asyncio.gather(*runs, *(knock(number) for number in range(more)))
    return found[:clients], found[clients:]


class Watched:
    """The server's process: its memory and processor time, read from /proc."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @property
    def rss_mb(self) -> float:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    @property
    def cpu_s(self) -> float:
        values = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")


def stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()


async def serve(model: str, precision: str, streams: int, folder: str) -> tuple[Watched, int]:
    """A server with room for so many streams, and its port."""
    options = ["--port", "0", "--model", model, "--precision", precision, "--store", f"{folder}/speakers.db"]
    limits = ["--max-streams", str(streams), "--max-streams-per-address", str(streams)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streamer.cli", "serve", *options, *limits, "--log-level", "error"),
        stdout=asyncio.subprocess.PIPE,
    )
    atexit.register(stop, process)
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    return Watched(process), int(line.rstrip().rstrip("/").rpartition(":")[2])


def summary(name: str, seen: list[Client], knocked: list[Client], seconds: float, cpu_s: float) -> str:
    served = [client for client in seen if client.outcome == "ended"]
    lags = np.array([lag for client in served for at, lag in client.lags if at >= WARM_UP_S]) * 1000
    p50, p99 = np.percentile(lags, [50, 99]) if len(lags) else (np.nan, np.nan)
    others = Counter([client.outcome for client in seen if client.outcome != "ended"])
    others.update(client.outcome for client in knocked)
    lost, skipped = sum(client.lost for client in served), sum(client.skipped for client in served)
    counts = [f"{value:.0f}" for value in (len(served), p50, p99, lags.max(initial=0), len(lags), lost, skipped)]
    return row([name, *counts, f"{cpu_s / seconds * 100:.0f} %", str(dict(others) or "")])


async def main(arguments: argparse.Namespace) -> None:
    path = Path(str(files("streamer.demo").joinpath("conversation.ogg")))
    samples, rate = soundfile.read(path, dtype="int16")
    assert rate == RATE
    clients, seconds = arguments.clients, arguments.seconds
    print(f"{clients} clients, {seconds:g} s each, step {arguments.step:g} s, {arguments.precision}\n")
    print("\n".join(table(HEAD)))
    with tempfile.TemporaryDirectory() as folder:
        server, port = await serve(arguments.model, arguments.precision, clients, folder)
        memory = []

        async def watch() -> None:
            while True:
                memory.append((time.monotonic(), server.rss_mb))
                await asyncio.sleep(1)

        watching = asyncio.create_task(watch())
        for name, more in (("at capacity", 0), ("twice the capacity", clients)):
            before = server.cpu_s
            seen, knocked = await crowd(port, clients, more, seconds, arguments.step, samples)
            print(summary(name, seen, knocked, seconds, server.cpu_s - before), flush=True)
        watching.cancel()
        server.process.send_signal(signal.SIGTERM)
        code = await server.process.wait()
    values = [mb for _, mb in memory]
    settled = values[len(values) // 4 :]
    half = len(settled) // 2
    first, second = np.mean(settled[:half]), np.mean(settled[half:])
    print(f"\nMemory: {values[0]:.0f} MB before the first client, {max(values):.0f} MB at most;")
    print(f"mean of the settled first half {first:.0f} MB, of the second {second:.0f} MB. Exit code {code}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--step", type=float, default=0.5)
    parser.add_argument("--model", default="default")
    parser.add_argument("--precision", default="float32")
    asyncio.run(main(parser.parse_args()))

"""A server for a while, with many clients and a store of very many people that changes all the time.

    python benchmarks/soak.py --clients 100 --seconds 600 --people 20000 --step 1 --precision int8

All clients of `server.py` in one process, the server in another, on the same machine. Once a second somebody is
enrolled in the store, as another process does it, somebody is renamed and somebody is removed over the wire; and some
clients do nothing but enrol voices over the wire, from `start` to `committed`. What may not be lost is counted: events
by their numbers, sessions by their goodbyes, changes by asking the server for the list afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import numpy as np
import soundfile
from crowd import enrolled
from server import WARM_UP_S, Client, Watched, crowd, serve

from streamer.audio.chunks import SAMPLE_RATE as RATE
from streamer.audio.files import read_audio
from streamer.client import Client as Session
from streamer.demo import ENROLMENT
from streamer.errors import StreamerError
from streamer.models.model import Model
from streamer.speakers.profiles import Exemplar
from streamer.speakers.store import SpeakerStore

#: Clients that enrol over the wire, and the seconds of speech that each enrolment hears.
ENROLLERS = 4
SPEECH_S = 7.0


@dataclass(slots=True)
class Changes:
    """What was changed, and how long it took until it was answered. wanted, gone: names that have to be there by now,
    or must not."""

    took_s: dict[str, list[float]] = field(default_factory=dict)
    problems: Counter[str] = field(default_factory=Counter)
    wanted: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)

    async def timed(self, kind: str, change: Awaitable[object]) -> bool:
        began = time.monotonic()
        try:
            await change
        except (StreamerError, TimeoutError) as error:
            self.problems[f"{kind}: {type(error).__name__}"] += 1
            return False
        self.took_s.setdefault(kind, []).append(time.monotonic() - began)
        return True


@dataclass(slots=True)
class Result:
    """served: clients that came to their end. lost: events, skipped: steps, missing: changes that are not to be found.
    lags_ms: (windows,). memory_mb: (seconds, megabytes) of the server."""

    served: int
    lost: int
    skipped: int
    missing: int
    lags_ms: np.ndarray
    memory_mb: list[tuple[float, float]]
    changes: Changes
    outcomes: Counter[str]
    exit_code: int

    @property
    def halves_mb(self) -> tuple[float, float]:
        """Mean memory of the two halves of the run once it has settled, which is a quarter of it."""
        values = [mb for _, mb in self.memory_mb]
        settled = values[len(values) // 4 :]
        half = len(settled) // 2
        return float(np.mean(settled[:half])), float(np.mean(settled[half:]))


async def change(port: int, path: Path, fingerprint: str, dimension: int, seconds: float, seen: Changes) -> None:
    """Once a second: one enrolled, one renamed, one removed."""
    rng = np.random.default_rng(5)
    end, number = time.monotonic() + seconds, 0
    with SpeakerStore(path) as store:
        async with Session(f"ws://127.0.0.1:{port}", stats_interval=2) as admin:
            reading = asyncio.create_task(_read(admin))
            while (due := time.monotonic() + 1.0) < end:
                name, voice = f"New {number:05}", rng.standard_normal(dimension).astype(np.float32)
                added = asyncio.to_thread(store.add, name, fingerprint, [Exemplar(voice, 12.0)])
                if await seen.timed("enrolled", added):
                    seen.wanted.add(name)
                old, new, lost = f"Person {3 * number:06}", f"Renamed {number:05}", f"Person {3 * number + 1:06}"
                if await seen.timed("renamed", admin.ask("speakers", action="rename", speaker=old, to=new, limit=1)):
                    seen.wanted.add(new)
                    seen.gone.add(old)
                if await seen.timed("removed", admin.ask("speakers", action="remove", speaker=lost, limit=1)):
                    seen.gone.add(lost)
                number += 1
                await admin.send(np.zeros(RATE // 10, np.float32))  # a session without audio would end
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            reading.cancel()


async def _read(session: Session) -> None:
    async for _ in session:
        pass


async def enrol(port: int, index: int, seconds: float, seen: Changes) -> None:
    """One voice after the other over the wire, at the speed of speech."""
    audio = read_audio(list(ENROLMENT.values())[index % len(ENROLMENT)]).mono_16k()[: round(SPEECH_S * RATE)]
    end, number = time.monotonic() + seconds, 0
    async with Session(f"ws://127.0.0.1:{port}", stats_interval=2) as session:
        committed: asyncio.Queue[str] = asyncio.Queue()

        async def read() -> None:
            async for message in session:
                if message["type"] == "enrolment" and message["state"] == "committed":
                    committed.put_nowait(message["name"])
                elif message["type"] == "error":
                    seen.problems[f"error: {message['code']}"] += 1

        reading = asyncio.create_task(read())
        while time.monotonic() + SPEECH_S + 1 < end:
            name = f"Voice {index} {number:04}"
            await session.tell("enroll", action="start", name=name)
            for at in range(0, len(audio), RATE // 2):
                await session.send(audio[at : at + RATE // 2])
                await asyncio.sleep(0.5)
            await session.ask("flush")

            async def commit() -> None:
                await session.tell("enroll", action="commit", force=True)
                async with asyncio.timeout(30):
                    await committed.get()

            if await seen.timed("enrolled by voice", commit()):
                seen.wanted.add(name)
            number += 1
        reading.cancel()


async def watched(server: Watched, memory: list[tuple[float, float]]) -> None:
    began = time.monotonic()
    while True:
        memory.append((time.monotonic() - began, server.rss_mb))
        await asyncio.sleep(1)


async def missing(port: int, seen: Changes) -> int:
    """How many of the changes the server does not know of when all is over."""
    async with Session(f"ws://127.0.0.1:{port}", stats_interval=2) as session:
        there = {one["name"] for one in await session.speakers()}
    return len(seen.wanted - there) + len(seen.gone & there)


async def soak(arguments: argparse.Namespace, say: Callable[[str], None] = print) -> Result:
    samples, _ = soundfile.read(str(files("streamer.demo").joinpath("conversation.ogg")), dtype="int16")
    clients, seconds = arguments.clients, arguments.seconds
    model = Model.from_pretrained(arguments.model)
    seen = Changes()
    memory: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speakers.db"
        enrolled(path, arguments.people, model.fingerprint, model.dimension).close()
        room = clients + ENROLLERS + 8
        server, port = await serve(arguments.model, arguments.precision, room, folder)
        say(f"{clients} clients, {seconds:g} s, {arguments.people:,} people, step {arguments.step:g} s")
        watching = asyncio.create_task(watched(server, memory))
        others = [change(port, path, model.fingerprint, model.dimension, seconds, seen)]
        others += [enrol(port, index, seconds, seen) for index in range(ENROLLERS)]
        changing = [asyncio.create_task(other) for other in others]
        ran, _ = await crowd(port, clients, 0, seconds, arguments.step, samples)
        await asyncio.gather(*changing)
        watching.cancel()
        lacking = await missing(port, seen)
        server.process.send_signal(signal.SIGTERM)
        code = await server.process.wait()
    return _result(ran, lacking, memory, seen, code)


def _result(ran: list[Client], lacking: int, memory: list[tuple[float, float]], seen: Changes, code: int) -> Result:
    served = [client for client in ran if client.outcome == "ended"]
    lags = np.array([lag for client in served for at, lag in client.lags if at >= WARM_UP_S]) * 1000
    lost, skipped = sum(client.lost for client in served), sum(client.skipped for client in served)
    outcomes = Counter(client.outcome for client in ran)
    return Result(len(served), lost, skipped, lacking, lags, memory, seen, outcomes, code)


def report(result: Result) -> str:
    lags = result.lags_ms if len(result.lags_ms) else np.array([np.nan])
    p50, p99 = np.percentile(lags, [50, 99])
    first, second = result.halves_mb
    lines = [
        f"sessions: {dict(result.outcomes)}; events lost {result.lost}, steps skipped {result.skipped}",
        f"lag of {len(result.lags_ms):,} windows: median {p50:.0f} ms, 99 % {p99:.0f} ms, worst {lags.max():.0f} ms",
        f"server's memory: {first:.0f} MB in the first half, {second:.0f} MB in the second",
    ]
    for kind, took in sorted(result.changes.took_s.items()):
        ms = np.array(took) * 1000
        lines.append(f"{kind}: {len(took)}, answered in {np.median(ms):.0f} ms (median), {ms.max():.0f} ms (worst)")
    lines.append(f"changes missing at the end: {result.missing}; problems: {dict(result.changes.problems)}")
    lines.append(f"exit code {result.exit_code}; load of the machine at the end: {os.getloadavg()}")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--step", type=float, default=1.0)
    parser.add_argument("--model", default="default")
    parser.add_argument("--precision", default="float32")
    print(report(asyncio.run(soak(parser.parse_args()))))

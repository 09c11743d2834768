"""What an enrolment costs everybody else: how long the server's event loop stands still, by the people enrolled.

    python benchmarks/roster.py --people 1000 16000 100000

Four streams are open and idle. In turns, somebody is enrolled, renamed and removed in the store, as another process
would do it, while a beat on the loop measures the longest time that it was late, and the longest that the loop's own
thread computed between two beats, which other processes of the machine do not touch. Then each of the streams is given
speech, and the same is measured again.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from crowd import enrolled

from streamer.audio.files import read_audio
from streamer.client import Client
from streamer.demo import CONVERSATION
from streamer.engine.engine import Engine
from streamer.evaluation.markdown import row, table
from streamer.server.app import Server
from streamer.server.config import ServerConfig
from streamer.speakers.profiles import Exemplar

BEAT_S = 0.002
HEAD = [
    "enrolled",
    "a change: late by, ms",
    "loop's own work, ms",
    "heard of after, ms",
    "speech: late by, ms",
    "loop's own work, ms",
]


@dataclass(slots=True)
class Beat:
    """The longest: late_s, that a beat came late; own_s, that the loop's thread computed between two of them."""

    late_s: float = 0.0
    own_s: float = 0.0


@asynccontextmanager
async def beating() -> AsyncIterator[Beat]:
    seen = Beat()

    async def beat() -> None:
        due, computed = time.perf_counter() + BEAT_S, time.thread_time()
        while True:
            await asyncio.sleep(BEAT_S)
            now, by_now = time.perf_counter(), time.thread_time()
            seen.late_s, seen.own_s = max(seen.late_s, now - due), max(seen.own_s, by_now - computed)
            due, computed = now + BEAT_S, by_now

    task = asyncio.create_task(beat())
    try:
        yield seen
    finally:
        task.cancel()


def heard(server: Server, changes: int) -> bool:
    """Whether every stream listens for those who are enrolled after so many changes."""
    people = server.people
    rosters = [channel.tracker.roster for room in server.rooms for channel in room.channels]
    return people.changes == changes and all(roster is people.everybody for roster in rosters)


async def measure(engine: Engine, people: int, folder: Path, changes: int) -> str:
    model = engine.model
    config = ServerConfig(port=0, max_streams=64, burst_s=600)
    voice = np.random.default_rng(1).standard_normal(model.dimension).astype(np.float32)
    audio = read_audio(CONVERSATION).mono_16k()[: 20 * 16_000]
    with enrolled(folder / f"{people}.db", people, model.fingerprint, model.dimension) as store:
        async with Server(config, engine, store) as server, AsyncExitStack() as stack:
            url = f"ws://127.0.0.1:{server.port}"
            clients = [await stack.enter_async_context(Client(url)) for _ in range(4)]
            stalls, own, after = [], [], []
            for number in range(changes):
                kind = number % 3
                async with beating() as seen:
                    began = time.perf_counter()
                    if kind == 0:
                        await asyncio.to_thread(store.add, "Zelda", model.fingerprint, [Exemplar(voice, 12.0)])
                    elif kind == 1:
                        await asyncio.to_thread(store.rename, "Zelda", "Yara")
                    else:
                        await asyncio.to_thread(store.remove, "Yara")
                    wanted = store.changes()
                    while not heard(server, wanted):  # noqa: ASYNC110 - nothing tells when all of them have
                        await asyncio.sleep(BEAT_S)
                    after.append(time.perf_counter() - began)
                stalls.append(seen.late_s)
                own.append(seen.own_s)
            async with beating() as seen:
                for client in clients:
                    await client.send(audio)
                await asyncio.gather(*(client.ask("flush") for client in clients))
    values = (max(stalls), max(own), float(np.median(after)), seen.late_s, seen.own_s)
    return row([f"{people:,}", *(f"{1000 * value:.1f}" for value in values)])


async def main(arguments: argparse.Namespace) -> None:
    print("\n".join(table(HEAD)))
    with tempfile.TemporaryDirectory() as folder:
        async with Engine(arguments.model, device="cpu", threads=1) as engine:
            for people in arguments.people:
                print(await measure(engine, people, Path(folder), arguments.changes), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, nargs="+", default=[1_000, 16_000, 100_000])
    parser.add_argument("--changes", type=int, default=6)
    parser.add_argument("--model", default="default")
    asyncio.run(main(parser.parse_args()))

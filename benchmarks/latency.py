"""How long after a step's last sample its windows are there, with many streams paced in real time on one engine.

    python benchmarks/latency.py --streams 1 32 100 --seconds 30
    python benchmarks/latency.py --streams 100 500 1000 --seconds 10 --device cuda --precision bfloat16 --model sincnet

Each stream is written 100 ms at a time, as a microphone would, all out of phase.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from streamer import Engine, Step
from streamer.engine.layers import Precision
from streamer.evaluation.markdown import row, table
from streamer.speech.detector import SpeechChoice

RATE, BLOCK = 16_000, 1_600
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Row:
    """Lag in ms from a step's last sample to its result; mean batch; share of the time the worker was busy; growth of
    the process's memory by stream, kB."""

    streams: int
    p50_ms: float
    p99_ms: float
    worst_ms: float
    batch: float
    busy: float
    stream_kb: float


def resident_kb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1000


async def client(engine: Engine, number: int, seconds: float, step_s: float) -> list[float]:
    samples = np.random.default_rng(number).normal(0, 0.05, BLOCK).astype(np.float32)
    loop = asyncio.get_running_loop()
    async with engine.open((1.0, 3.0), step_s, policy="latest") as stream:

        async def speak() -> None:
            start = loop.time() + number * 0.37 % step_s
            for block in range(round(seconds * RATE / BLOCK)):
                await asyncio.sleep(max(0.0, start + block * BLOCK / RATE - loop.time()))
                await stream.write(samples)
            await stream.end()

        speaking = asyncio.create_task(speak())
        # The first steps warm the caches of the process up.
        lags = [step.lag_s async for step in stream.steps() if isinstance(step, Step) and step.end_sample > 4 * RATE]
        await speaking
    return lags


async def measure(streams: int, options: argparse.Namespace) -> Row:
    before = resident_kb()
    async with Engine(
        options.model,
        device=options.device,
        precision=options.precision,
        speech=options.speech,
        threads=options.threads,
    ) as engine:
        lags = await asyncio.gather(*[client(engine, n, options.seconds, options.step) for n in range(streams)])
        held, statistics = resident_kb() - before, engine.statistics
    ms = 1000 * np.concatenate(lags)
    p50, p99 = np.percentile(ms, [50, 99])
    return Row(streams, p50, p99, ms.max(), statistics.mean_batch, statistics.busy_s / options.seconds, held / streams)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", nargs="+", type=int, default=[1, 32, 100])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--step", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--model", default="default")
    parser.add_argument("--precision", choices=get_args(Precision), default="float32")
    parser.add_argument("--speech", choices=get_args(SpeechChoice), default="auto")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N, mps or auto")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    head = ["streams", "p50, ms", "p99, ms", "worst, ms", "mean batch", "worker busy", "memory a stream, kB"]
    print("\n".join(table(head)))
    rows = []
    for streams in options.streams:
        found = asyncio.run(measure(streams, options))
        rows.append(asdict(found))
        values = (found.p50_ms, found.p99_ms, found.worst_ms, found.batch)
        cells = [str(streams), *(f"{value:.1f}" for value in values), f"{found.busy:.0%}", f"{found.stream_kb:.0f}"]
        print(row(cells), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()

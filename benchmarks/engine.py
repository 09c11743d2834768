"""How fast the incremental engine is, beside computing each window anew, with our `Inference` and pyannote.audio's.

    python benchmarks/engine.py --pyannote /path/to/python-with-pyannote.audio
    python benchmarks/engine.py --device cuda --streams 1 32 512 8192 --precisions float32 bfloat16 --threads 1

All are timed in turns, round after round, and reported as the median of the rounds' ratios: on a machine that others
use, seconds drift, ratios hold. What is timed is one second of audio of one stream, with 3 s windows. pyannote.audio
gets its windows in batches of 32, the best case for it: a live stream hands it one at a time.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from streamer import IncrementalModel, Inference, Model
from streamer.engine.incremental import IncrementalStream
from streamer.engine.layers import Precision
from streamer.evaluation.markdown import row, table
from streamer.models.architecture import Architecture
from streamer.models.model import ModelCard
from streamer.models.xvector import XVectorSincNet

RATE, WINDOW_S = 16_000, 3.0
STEPS_S = (1.0, 0.25, 0.1)
STREAMS = (1, 8, 32, 128)
#: torch's names of them; oneDNN's take bias and activation along.
PRODUCTS = {"aten::mm", "aten::addmm", "aten::addmm_", "aten::bmm", "aten::_int_mm"} | {
    "mkldnn::_convolution_pointwise",
    "mkldnn::_linear_pointwise",
}
#: Enough work for one reading that the clock's grain and the first steps do not count.
READING_S = 0.4
#: Steps that are profiled.
PROFILED = 40


@dataclass(frozen=True, slots=True)
class Case:
    mode: str
    precision: Precision
    threads: int
    step_s: float
    streams: int


@dataclass(frozen=True, slots=True)
class Row:
    """ms of computation for one second of one stream, medians; how many times as long the others take; which share of
    a step is spent in matrix products, which is known of a CPU alone."""

    case: Case
    ms: float
    stepping_ms: float
    state_kb: float
    products: float | None
    inference_ratio: float
    pyannote_ratio: float | None


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


def stepping(engine: IncrementalModel, case: Case) -> tuple[Callable[[], None], IncrementalStream]:
    """A function that takes all of a case's streams one step further, once their windows are full, and one stream."""
    streams = [engine.open((WINDOW_S,), case.step_s) for _ in range(case.streams)]
    samples = noise(case.step_s)

    def step() -> None:
        engine.step([block for stream in streams for block in stream.cut(samples)])

    for _ in range(round(WINDOW_S / case.step_s) + 1):
        step()
    return step, streams[0]


def engine_reading(step: Callable[[], None], case: Case) -> Callable[[], float]:
    """A function that times some steps of all streams: ms a stream-second."""

    def read() -> float:
        steps, started = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - started) < READING_S or not steps:
            step()
            steps += 1
        return elapsed * 1000 / (steps * case.step_s * case.streams)

    return read


def share_of_products(step: Callable[[], None]) -> float:
    """Which share of a step is spent in matrix products, by torch's profiler, which lengthens all the rest: the median
    of the fastest quarter of steps, since what else the machine does lengthens the others."""
    found: list[tuple[float, float]] = []
    for _ in range(PROFILED):
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            started = time.perf_counter()
            step()
            elapsed_us = (time.perf_counter() - started) * 1e6
        events = profiled.key_averages()
        products_us = sum(event.self_cpu_time_total for event in events if event.key in PRODUCTS)
        found.append((elapsed_us, products_us / elapsed_us))
    return statistics.median(share for _, share in sorted(found)[: PROFILED // 4])


def inference_reading(model: Model, step_s: float) -> Callable[[], float]:
    """A function that times our own offline Inference: ms a stream-second."""
    inference = Inference(model, window="sliding", duration=WINDOW_S, step=step_s)
    windows = 16 if model.device.type == "cpu" else 256
    samples = noise(WINDOW_S + (windows - 1) * step_s)

    def read() -> float:
        started = time.perf_counter()
        inference({"waveform": samples[None], "sample_rate": RATE})
        return (time.perf_counter() - started) * 1000 / windows / step_s

    return read


@contextmanager
def pyannote_readings(python: str | None, device: str = "cpu") -> Iterator[Callable[[int, float], float] | None]:
    """A function that times pyannote.audio in its own environment: ms a stream-second. None without one."""
    if python is None:
        yield None
        return
    script = Path(__file__).with_name("pyannote_windows.py")
    with subprocess.Popen([python, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout
        assert stdout.readline().strip() == "ready"

        def read(threads: int, step_s: float) -> float:
            stdin.write(f"{threads} {step_s} 32 {device}\n")
            stdin.flush()
            return float(stdout.readline()) / step_s

        yield read
        stdin.close()


def engine_of(case: Case, model: Model) -> IncrementalModel:
    return IncrementalModel(
        model, "exact" if case.mode == "exact" else "cached", precision=case.precision, speech="off"
    )


def measure(cases: list[Case], models: dict[str, Model], rounds: int, python: str | None) -> list[Row]:
    rows = []
    with pyannote_readings(python, str(next(iter(models.values())).device)) as pyannote:
        for case in cases:
            torch.set_num_threads(case.threads)
            model = models[case.mode]
            step, stream = stepping(engine_of(case, model), case)
            ours, offline = engine_reading(step, case), inference_reading(model, case.step_s)
            mine, theirs, offlines = [], [], []
            for _ in range(rounds):
                ms = ours()
                mine.append(ms)
                offlines.append(offline() / ms)
                theirs += [pyannote(case.threads, case.step_s) / ms] if pyannote else []
            rows.append(
                Row(
                    case,
                    statistics.median(mine),
                    statistics.median(mine) * case.step_s,
                    stream.nbytes / 1000,
                    share_of_products(step) if model.device.type == "cpu" else None,
                    statistics.median(offlines),
                    statistics.median(theirs) if theirs else None,
                )
            )
            print(table_row(rows[-1]), flush=True)
    return rows


def table_row(found: Row) -> str:
    case = found.case
    pyannote = f"{found.pyannote_ratio:.1f}x" if found.pyannote_ratio else "-"
    settings = [case.mode, case.precision, str(case.threads), f"{case.step_s:g}", str(case.streams)]
    costs = [f"{found.ms:.2f}", f"{1000 / found.ms:.0f}", f"{found.inference_ratio:.1f}x", pyannote]
    products = "-" if found.products is None else f"{found.products:.0%}"
    return row([*settings, *costs, products, f"{found.state_kb:.0f}"])


def precisions_of(device: str) -> list[Precision]:
    return ["float32", "bfloat16", "int8"] if device == "cpu" else ["float32", "tf32", "bfloat16"]


HEAD = [
    "mode",
    "precision",
    "threads",
    "step, s",
    "streams",
    "ms a stream-second",
    "streams in real time",
    "against our Inference",
    "against pyannote.audio",
    "in products",
    "state, kB",
]


def models(device: str = "cpu") -> dict[str, Model]:
    """Our architecture and pyannote's, with random weights, which cost as much as trained ones, on a device."""
    torch.manual_seed(0)
    local = Architecture(front="log", norm="batch", dimension=256, attention=True, speech_head=True)
    found = {
        "cached": Model(XVectorSincNet(local), ModelCard("random")),
        "exact": Model(XVectorSincNet(Architecture()), ModelCard("random-pyannote")),
        "trailing": Model(XVectorSincNet(Architecture()), ModelCard("random-pyannote")),
    }
    return {mode: model.to(device) for mode, model in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pyannote", metavar="PYTHON", help="a Python that has pyannote.audio")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--modes", nargs="+", default=["cached", "exact", "trailing"])
    parser.add_argument("--precisions", nargs="+", help="all that the device has, if not given")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--steps", nargs="+", type=float, default=list(STEPS_S))
    parser.add_argument("--streams", nargs="+", type=int, default=list(STREAMS))
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N, mps or auto")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    precisions = options.precisions or precisions_of(options.device)
    grid = itertools.product(options.modes, precisions, options.threads, options.steps, options.streams)
    print("\n".join(table(HEAD)))
    rows = measure([Case(*values) for values in grid], models(options.device), options.rounds, options.pyannote)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()

"""What a GPU makes of it, in one command: the tests that need one, and what many streams cost on it.

    make gpu                             # on CUDA where it is, else on the CPU, with small numbers
    python benchmarks/gpu.py --device cuda --pyannote /path/to/python-with-pyannote.audio

Prints tables for docs/performance.md, with the device's name. All of it takes less than eight minutes: what does not
fit into `--minutes` is left out, and said to be.
"""

from __future__ import annotations

import argparse
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import engine as benchmark
import numpy as np
import torch

from streamer import IncrementalModel, Model
from streamer.engine.layers import Precision
from streamer.evaluation.markdown import row, table
from streamer.models.model import resolve_device

ROOT = Path(__file__).parents[1]
#: Where tests have a device as a parameter.
TESTS = ("tests/models", "tests/engine", "tests/test_inference.py")
TESTS_S = 180

Case = benchmark.Case


@dataclass(frozen=True, slots=True)
class Plan:
    """cases: what a step costs, of the networks of `benchmark.models` and the default model. paced: streams in real
    time, so many seconds, in this precision."""

    cases: list[Case]
    paced: list[int]
    seconds: int
    precision: Precision
    rounds: int

    @classmethod
    def of(cls, device: torch.device) -> Plan:
        if device.type == "cpu":
            small = [Case("cached", "float32", 1, 1.0, 1), Case("cached", "float32", 1, 1.0, 32)]
            small += [Case("cached", "float32", 1, 0.25, 32), Case("exact", "float32", 1, 1.0, 4)]
            small += [Case("default model", "float32", 1, 1.0, 8)]
            return cls(small, [8, 32], 4, "float32", rounds=3)
        cases = [Case("cached", "float32", 1, 1.0, streams) for streams in (1, 32, 128, 512, 2048, 8192)]
        cases += [Case("cached", "bfloat16", 1, 1.0, streams) for streams in (1, 512, 2048, 8192)]
        cases += [Case("cached", "tf32", 1, 1.0, 8192)] if device.type == "cuda" else []
        cases += [Case("cached", "bfloat16", 1, 0.25, 512), Case("cached", "bfloat16", 1, 0.1, 512)]
        cases += [Case("exact", "float32", 1, 1.0, streams) for streams in (32, 256)]
        cases += [Case("default model", "float32", 1, 1.0, streams) for streams in (1, 32, 512, 2048)]
        return cls(cases, [100, 500, 1000, 2000, 5000, 10_000, 20_000], 6, "bfloat16", rounds=3)


def name_of(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu" and (found := re.search(r"model name\s*: (.*)", _read("/proc/cpuinfo"))):
        return f"{found[1]}, one thread"
    return f"{device.type}, {platform.machine()}"


def _read(path: str) -> str:
    return Path(path).read_text() if Path(path).exists() else ""


def tested(device: torch.device) -> str:
    """Run the tests that have this device as a parameter: how they ended."""
    command = [sys.executable, "-m", "pytest", "-k", device.type, "-p", "no:cacheprovider", *TESTS]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TESTS_S, check=False)
    except subprocess.TimeoutExpired:
        return f"not done after {TESTS_S} s"
    lines = [line for line in done.stdout.splitlines() if line.startswith("FAILED")] + done.stdout.splitlines()[-1:]
    return "; ".join(lines) or done.stderr[-500:]


def costs(
    plan: Plan, models: dict[str, Model], left: Callable[[], float], pyannote: Callable[[int, float], float] | None
) -> None:
    """Print what a second of a stream costs, stepped beside others, and computed anew window by window."""
    head = ["mode", "precision", "step, s", "streams", "us a stream-second", "ms a step", "against our Inference"]
    print("\n".join(table([*head, "against pyannote.audio"])), flush=True)
    windows: dict[tuple[str, float], Callable[[], float]] = {}
    for case in plan.cases:
        labels = [case.mode, case.precision, f"{case.step_s:g}", str(case.streams)]
        if left() < 0:
            print(row([*labels, "left out for want of time", "", "", ""]), flush=True)
            continue
        model = models[case.mode]
        try:
            step, _ = benchmark.stepping(benchmark.engine_of(case, model), case)
        except torch.OutOfMemoryError:
            print(row([*labels, "out of memory", "", "", ""]), flush=True)
            continue
        read = benchmark.engine_reading(step, case)
        anew = windows.setdefault((case.mode, case.step_s), benchmark.inference_reading(model, case.step_s))
        anew()
        ours, offline, theirs = [], [], []
        for _ in range(plan.rounds):
            ours.append(read())
            offline.append(anew() / ours[-1])
            theirs += [pyannote(case.threads, case.step_s) / ours[-1]] if pyannote and case.mode == "exact" else []
        ms = statistics.median(ours)
        measured = [f"{1000 * ms:.0f}", f"{ms * case.step_s * case.streams:.2f}", f"{statistics.median(offline):.1f}x"]
        print(row([*labels, *measured, f"{statistics.median(theirs):.1f}x" if theirs else "-"]), flush=True)


def paced(engine: IncrementalModel, streams: int, seconds: int) -> list[str]:
    """Streams in real time, all out of phase, a step a second each; the engine steps whatever is complete.

    From a step's last sample to its embedding in the host's memory, without an event loop.
    """
    opened = [engine.open((benchmark.WINDOW_S,), 1.0) for _ in range(streams)]
    samples = benchmark.noise(1.0)
    for _ in range(round(benchmark.WINDOW_S)):
        engine.step([block for stream in opened for block in stream.cut(samples)])
    done, batches, busy, lags = 0, 0, 0.0, np.zeros(streams * seconds)
    started = time.perf_counter()
    while done < len(lags):
        now = time.perf_counter()
        # The n-th step is complete n / streams seconds after the beginning; each stream at most once a batch.
        complete = min(int((now - started) * streams) + 1, len(lags), done + streams)
        if complete == done:
            time.sleep(0.0005)
            continue
        engine.step([block for place in range(done, complete) for block in opened[place % streams].cut(samples)])
        ended = time.perf_counter()
        lags[done:complete] = ended - started - np.arange(done, complete) / streams
        busy, batches, done = busy + ended - now, batches + 1, complete
    settled = 1000 * lags[streams:]
    p50, p99 = np.percentile(settled, [50, 99])
    found = [f"{p50:.1f}", f"{p99:.1f}", f"{settled.max():.1f}", f"{len(lags) / batches:.1f}"]
    return [str(streams), *found, f"{busy / (time.perf_counter() - started):.0%}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:N, mps or auto")
    parser.add_argument("--pyannote", metavar="PYTHON", help="a Python that has pyannote.audio")
    parser.add_argument("--minutes", type=float, default=7.0)
    parser.add_argument("--no-tests", action="store_true", help="measure alone")
    options = parser.parse_args()
    until: float = time.monotonic() + 60 * options.minutes

    def left() -> float:
        return until - time.monotonic()

    device = resolve_device(options.device)
    plan = Plan.of(device)
    torch.set_num_threads(1)
    print(f"## {name_of(device)}\n\ntorch {torch.__version__}, Python {platform.python_version()}\n")
    if not options.no_tests:
        print(f"Tests on `{device.type}`: {tested(device)}\n", flush=True)
    models = benchmark.models(str(device)) | {"default model": Model.from_pretrained("default", device=device)}
    with benchmark.pyannote_readings(options.pyannote, str(device)) as pyannote:
        costs(plan, models, left, pyannote)
    print(
        "\n" + "\n".join(table(["streams", "p50, ms", "p99, ms", "worst, ms", "streams a batch", "busy"])), flush=True
    )
    engine = IncrementalModel(models["cached"], precision=plan.precision, speech="off")
    for streams in plan.paced:
        # One that cannot keep up would go on and on.
        if left() < 0 or (streams > plan.paced[0] and _hopeless(engine, streams)):
            print(
                row([str(streams), "left out: more than it can keep up with, or no time", "", "", "", ""]), flush=True
            )
            continue
        print(row(paced(engine, streams, plan.seconds)), flush=True)


def _hopeless(engine: IncrementalModel, streams: int) -> bool:
    """Whether a second of so many streams takes more than a second and a half even in one batch."""
    case = Case("cached", engine.precision, 1, 1.0, streams)
    step, _ = benchmark.stepping(engine, case)
    started = time.perf_counter()
    step()
    return time.perf_counter() - started > 1.5


if __name__ == "__main__":
    main()

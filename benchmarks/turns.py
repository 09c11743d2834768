"""What a step of the engine costs in this checkout, beside another one of the project.

    git worktree add /tmp/before v0.1.0
    python benchmarks/turns.py /tmp/before --precisions float32 int8 --steps 1 0.1 --streams 32 1 --speech head

Each checkout steps in a process of its own, in turns, round after round. What is reported is processor time: the median
step, and the median of the rounds' ratios. Other work on the machine lengthens both alike.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from streamer.evaluation.markdown import row, table

HERE = Path(__file__).parents[1]
HEAD = ["network", "precision", "step, s", "streams", "ms before", "ms now", "before / now"]


def serve() -> None:
    """Time steps of the cases that come in, a line each; a line without a case is one more round of the last."""
    # Of the checkout that this process is to measure.
    import torch
    from engine import Case, models, stepping

    from streamer import IncrementalModel, Model

    torch.set_num_threads(1)
    for line in sys.stdin:
        if line.strip():
            network, *values, speech, reading_s = json.loads(line)
            case = Case("cached", values[0], 1, *values[1:])
            model = models()["cached"] if network == "sincnet" else Model.from_pretrained(network, device="cpu")
            step, _ = stepping(IncrementalModel(model, "cached", precision=case.precision, speech=speech), case)
        found: list[float] = []
        ends = time.perf_counter() + reading_s
        while len(found) < 2 or time.perf_counter() < ends:
            started = time.thread_time()
            step()
            found.append((time.thread_time() - started) * 1000)
        print(statistics.median(found), flush=True)


class Checkout:
    def __init__(self, root: Path) -> None:
        environment = os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{root / 'benchmarks'}", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, __file__, "--serve"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=root
        )

    def ms(self, case: Any = None) -> float:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n" if case is None else json.dumps(case) + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="the other checkout")
    parser.add_argument("--networks", nargs="+", default=["sincnet"], help="sincnet, or a bundled model")
    parser.add_argument("--precisions", nargs="+", default=["float32"])
    parser.add_argument("--steps", nargs="+", type=float, default=[1.0, 0.1])
    parser.add_argument("--streams", nargs="+", type=int, default=[32, 1])
    parser.add_argument("--speech", default="off", help="who weighs the frames: off, or head, the network's own")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--reading", type=float, default=0.35, metavar="S", help="seconds of one reading")
    options = parser.parse_args()
    checkouts = [Checkout(options.before.resolve()), Checkout(HERE)]
    print("\n".join(table(HEAD)))
    for values in itertools.product(options.networks, options.precisions, options.steps, options.streams):
        for checkout in checkouts:
            checkout.ms([*values, options.speech, options.reading])
        before: list[float] = []
        now: list[float] = []
        for number in range(options.rounds):
            turns = list(zip(checkouts, (before, now), strict=True))
            for checkout, readings in turns if number % 2 else reversed(turns):
                readings.append(checkout.ms())
        ratio = statistics.median(one / other for one, other in zip(before, now, strict=True))
        costs = [f"{statistics.median(before):.2f}", f"{statistics.median(now):.2f}", f"{ratio:.2f}"]
        print(row([*(str(value) for value in values), *costs]), flush=True)
    for checkout in checkouts:
        checkout.process.communicate()


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["--serve"] else main()

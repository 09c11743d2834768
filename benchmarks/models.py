"""What the models in the package cost on a CPU, side by side: CPU time for one second of one stream.

    OMP_NUM_THREADS=1 python benchmarks/models.py --streams 32 --step 1

Windows are of 3 s; speech is detected by the model's own head, or by silero-vad where it has none. All are stepped in
turns, round after round. The ratio to the first is the median of the rounds' ratios: on a machine that others use, that
holds where times drift.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from streamer import IncrementalModel, Model
from streamer.evaluation.markdown import row, table

RATE, WINDOW_S = 16_000, 3.0
#: Audio that is heard again and again.
AUDIO_S = 8


def stepping(name: str, streams: int, step_s: float) -> Callable[[], None]:
    """A function that takes all streams of a model one step further, once their windows are full."""
    engine = IncrementalModel(Model.from_pretrained(name))
    opened = [engine.open((WINDOW_S,), step_s) for _ in range(streams)]
    audio = np.random.default_rng(0).normal(0, 0.05, (streams, AUDIO_S * RATE)).astype(np.float32)
    length, place = round(step_s * RATE), 0

    def step() -> None:
        nonlocal place
        place = place if place + length <= audio.shape[1] else 0
        heard = audio[:, place : place + length]
        engine.step([block for stream, samples in zip(opened, heard, strict=True) for block in stream.cut(samples)])
        place += length

    for _ in range(round(WINDOW_S / step_s) + 1):
        step()
    return step


def reading(step: Callable[[], None], streams: int, step_s: float) -> float:
    """CPU ms a stream-second, over a second of audio at least."""
    steps, started = max(1, round(1 / step_s)), time.process_time()
    for _ in range(steps):
        step()
    return (time.process_time() - started) * 1000 / (streams * steps * step_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["campplus-live", "sincnet", "campplus"])
    parser.add_argument("--streams", nargs="+", type=int, default=[32])
    parser.add_argument("--step", nargs="+", type=float, default=[1.0])
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("\n".join(table(["streams", "step, s", "model", "CPU ms a stream-second", f"against {options.models[0]}"])))
    for streams in options.streams:
        for step_s in options.step:
            steps = [stepping(name, streams, step_s) for name in options.models]
            rounds = [[reading(step, streams, step_s) for step in steps] for _ in range(options.rounds)]
            for name, readings in zip(options.models, zip(*rounds, strict=True), strict=True):
                ratios = [ms / first[0] for ms, first in zip(readings, rounds, strict=True)]
                costs = [f"{statistics.median(readings):.1f}", f"{statistics.median(ratios):.1f}x"]
                print(row([str(streams), f"{step_s:g}", name, *costs]), flush=True)


if __name__ == "__main__":
    main()

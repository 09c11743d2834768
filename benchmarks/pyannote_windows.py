"""Times pyannote.audio's own Inference; run by engine.py with the Python of an environment that has it.

Reads "THREADS STEP_S BATCH_SIZE DEVICE" lines and answers each with the milliseconds that one window took. The network
has random weights, which cost as much as trained ones.
"""

from __future__ import annotations

import sys
import time
import warnings

import numpy as np

warnings.simplefilter("ignore")

import torch  # noqa: E402
from pyannote.audio import Inference  # noqa: E402
from pyannote.audio.core.task import Problem, Resolution, Specifications  # noqa: E402
from pyannote.audio.models.embedding import XVectorSincNet  # noqa: E402

WINDOW_S, WINDOWS = 3.0, 24


def main() -> None:
    model = XVectorSincNet(sample_rate=16_000, num_channels=1, dimension=512)
    model.specifications = Specifications(
        problem=Problem.REPRESENTATION, resolution=Resolution.CHUNK, duration=WINDOW_S
    )
    model.eval()
    print("ready", flush=True)
    for line in sys.stdin:
        threads, step_s, batch_size, device = line.split()
        torch.set_num_threads(int(threads))
        inference = Inference(
            model,
            window="sliding",
            duration=WINDOW_S,
            step=float(step_s),
            batch_size=int(batch_size),
            device=torch.device(device),
        )
        samples = round((WINDOW_S + (WINDOWS - 1) * float(step_s)) * 16_000)
        file = {"waveform": torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (1, samples))).float()}
        if device != "cpu":
            # What is made once, such as a device's kernels, is not what a window costs.
            inference(file | {"sample_rate": 16_000})
        started = time.perf_counter()
        embeddings = inference(file | {"sample_rate": 16_000})
        print((time.perf_counter() - started) * 1000 / len(embeddings.data), flush=True)


if __name__ == "__main__":
    main()

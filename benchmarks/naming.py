"""What a name costs beside the embedding: speech detection, scoring against many enrolled speakers, and the tracker.

    python benchmarks/naming.py

All ways are timed in turns, round after round, and reported as medians, on one thread. The audio is the bundled
conversation; speakers beyond its own are random directions.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from importlib.resources import files

import numpy as np
import soundfile
import torch

from streamer import IncrementalModel, Model
from streamer.engine.window import Step
from streamer.evaluation.markdown import row, table
from streamer.evaluation.stream import steps_of
from streamer.speakers.backend import Backend
from streamer.speakers.candidates import Candidates
from streamer.speakers.guests import Guests
from streamer.speakers.profiles import Roster
from streamer.speakers.settings import STEP_S
from streamer.speakers.tracker import Tracker

RATE, SECONDS = 16_000, 20
DETECTORS = ("off", "head", "silero")


def medians(ways: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Each way's median reading, all of them taken in turns; the first, which fills caches, does not count."""
    readings: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            readings[name].append(way())
    return {name: statistics.median(values[1:]) for name, values in readings.items()}


def stepping(model: Model, detector: str, audio: np.ndarray, streams: int) -> Callable[[], float]:
    """Milliseconds for a second of one of so many streams, all in one batch."""
    engine = IncrementalModel(model, speech=detector)  # type: ignore[arg-type]
    opened = [engine.open((1.0, 3.0), STEP_S) for _ in range(streams)]

    def reading() -> float:
        begin = time.perf_counter()
        for first in range(0, SECONDS * RATE, round(STEP_S * RATE)):
            chunk = audio[first : first + round(STEP_S * RATE)]
            engine.step([block for stream in opened for block in stream.cut(chunk)])
        return (time.perf_counter() - begin) / SECONDS / streams * 1000

    return reading


def enrolled(model: Model, count: int) -> Roster:
    directions = np.random.default_rng(count).standard_normal((count, model.dimension))
    return Roster([f"speaker {number}" for number in range(count)], directions, np.full(count, 10.0))


def scoring(roster: Roster, backend: Backend, embedding: np.ndarray) -> Callable[[], float]:
    """Milliseconds to weigh one window against everybody: cosines, norms by the cohort, log-likelihood ratios."""
    candidates = Candidates(roster, Guests(16, roster.dimension), backend, 0.5)

    def reading() -> float:
        begin = time.perf_counter()
        for _ in range(20):
            candidates.evidence(embedding[None], np.array([3.0]))
        return (time.perf_counter() - begin) / 20 * 1000

    return reading


def tracking(roster: Roster, backend: Backend, model: Model, steps: list[Step]) -> Callable[[], float]:
    """Milliseconds for one step of a tracker: three windows weighed, the turn pooled, the filter moved on."""

    def reading() -> float:
        tracker = Tracker(roster, backend, model.embed)
        begin = time.perf_counter()
        for step in steps:
            tracker.update(step)
        return (time.perf_counter() - begin) / len(steps) * 1000

    return reading


def main(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    audio, _ = soundfile.read(str(files("streamer.demo").joinpath("conversation.ogg")), dtype="float32")
    model = Model.from_pretrained(arguments.model)
    backend = Backend.of(model)

    print(f"A second of one of {arguments.streams} streams in one batch, windows of 1 s and 3 s each {STEP_S:g} s\n")
    print("\n".join(table(["speech detector", "ms"])))
    detectors = [name for name in DETECTORS if name != "head" or model.architecture.speech_head]
    ways = {name: stepping(model, name, audio, arguments.streams) for name in detectors}
    for name, value in medians(ways, arguments.rounds).items():
        print(row([name, f"{value:.2f}"]), flush=True)

    steps = steps_of(IncrementalModel(model), audio, STEP_S)
    window = next(step.windows[-1] for step in reversed(steps) if step.windows)
    rosters = {count: enrolled(model, count) for count in arguments.enrolled}
    scored = {str(n): scoring(roster, backend, window.embedding) for n, roster in rosters.items()}
    tracked = {str(n): tracking(roster, backend, model, steps) for n, roster in rosters.items()}
    scored_ms, tracked_ms = medians(scored, arguments.rounds), medians(tracked, arguments.rounds)
    rows = [[f"{n:,}", f"{scored_ms[str(n)]:.2f}", f"{tracked_ms[str(n)]:.2f}"] for n in rosters]
    print("\n".join(["", *table(["enrolled", "one window scored, ms", "one step of the tracker, ms"], rows)]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--enrolled", type=int, nargs="+", default=[3, 1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=5)
    main(parser.parse_args())

"""Voices under control: streams of steps whose embeddings are known directions with known noise.

A frame is its voice's direction plus white noise, and the "network" reads the mean of the frames as the embedding, so
windows, blocks and whole turns pool exactly as they do behind the real one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from streamer.audio.chunks import SAMPLE_RATE as RATE
from streamer.engine.window import Step, Window
from streamer.models.architecture import Architecture
from streamer.models.pooling import Moments
from streamer.speakers.backend import Backend
from streamer.speakers.profiles import Roster, unit
from streamer.speakers.scoring import Calibration
from streamer.speakers.settings import TrackerSettings
from streamer.speakers.tracker import Tracker

FRAME_GRID = Architecture().grid
DIMENSION = 64
#: Per frame and dimension; a second of speech then scores 0.66 on average against its own direction.
NOISE = 1.1

#: What the noise above gives by its arithmetic: cosine 1 / sqrt(1 + d / (59 e)) at e effective seconds.
CALIBRATION = Calibration((0.5, 1.0, 3.0), (0.53, 0.66, 0.84), (0.09, 0.07, 0.04), (0.0,) * 3, (0.125,) * 3)


def embed(moments: Moments[NDArray[np.float32]]) -> NDArray[np.float32]:
    return moments.mean


@dataclass
class Stage:
    """Voices by name, and what they say."""

    seed: int = 0
    voices: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    backend = Backend(CALIBRATION)
    embed = staticmethod(embed)

    def voice(self, name: str) -> NDArray[np.float32]:
        if name not in self.voices:
            rng = np.random.default_rng([self.seed, *name.encode()])
            self.voices[name] = unit(rng.standard_normal(DIMENSION))
        return self.voices[name]

    def roster(self, *names: str) -> Roster:
        if not names:
            return Roster.empty(DIMENSION)
        return Roster(names, np.stack([self.voice(name) for name in names]), [30.0] * len(names))

    def tracker(self, *names: str, **settings: object) -> Tracker:
        return Tracker(self.roster(*names), self.backend, self.embed, TrackerSettings(**settings))  # type: ignore[arg-type]

    def steps(
        self,
        script: Sequence[tuple[str | None, float]],
        *,
        step_s: float = 0.5,
        blocks: bool = True,
        speech: bool = True,
    ) -> list[Step]:
        """The steps of a stream in which each voice (None: silence) lasts so many seconds."""
        rng = np.random.default_rng(self.seed)
        total = round(sum(seconds for _, seconds in script) * RATE)
        step, stride, half = round(step_s * RATE), FRAME_GRID.stride, FRAME_GRID.receptive_field // 2
        count = FRAME_GRID.end_frame(total)
        frames = NOISE * rng.standard_normal((count, DIMENSION)).astype(np.float32)
        spoken = np.zeros(count, np.float32)
        begin = 0
        for name, seconds in script:
            end = begin + round(seconds * RATE)
            # A frame belongs to whoever speaks at its centre.
            inside = slice(max(0, -(-(begin - half) // stride)), max(0, -(-(end - half) // stride)))
            if name is not None:
                frames[inside] += self.voice(name)
                spoken[inside] = 1.0
            begin = end
        steps = []
        for end in range(step, total + 1, step):
            first, last = FRAME_GRID.end_frame(end - step), FRAME_GRID.end_frame(end)
            windows = []
            for duration in (1.0, 3.0):
                start = max(0, end - round(duration * RATE))
                inside = slice(FRAME_GRID.first_frame(start), last)
                weights = spoken[inside, None]
                speech_s = float(weights.sum()) * stride / RATE
                if speech_s >= 0.4:
                    pooled = Moments.of(frames[inside], weights)
                    partial = end < duration * RATE
                    windows.append(Window(start, end, duration, embed(pooled), speech_s, partial))
            steps.append(
                Step(
                    start_sample=end - step,
                    end_sample=end,
                    windows=tuple(windows),
                    grid=FRAME_GRID,
                    first_frame=first,
                    speech=spoken[first:last] if speech else None,
                    block=Moments.of(frames[first:last], spoken[first:last, None]) if blocks else None,
                    level_db=-30.0 if spoken[first:last].any() else -90.0,
                )
            )
        return steps


@pytest.fixture
def stage():
    return Stage()


@pytest.fixture(scope="session")
def new_stage():
    """For property tests, which need a fresh one for each example."""
    return Stage


@pytest.fixture(params=[True, False], ids=["pooled by block", "exact mode"])
def blocks(request):
    return bool(request.param)

"""Voices under control for rooms: the steps of each microphone, its own speakers loud, the others' weaker."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from streamer.audio.chunks import SAMPLE_RATE as RATE
from streamer.engine.window import Step, Window
from streamer.meeting.room import RoomTracker
from streamer.models.architecture import Architecture
from streamer.models.pooling import Moments

FRAME_GRID = Architecture().grid

_spec = importlib.util.spec_from_file_location("voices", Path(__file__).parents[1] / "speakers" / "conftest.py")
assert _spec is not None
assert _spec.loader is not None
voices = importlib.util.module_from_spec(_spec)
sys.modules["voices"] = voices  # where dataclasses look for it
_spec.loader.exec_module(voices)

STEP = RATE // 2
OWN_DB, NOISE_DB = -30.0, -90.0

Frames = NDArray[np.float32]
NOISE: float = voices.NOISE

#: What each seat says: (name or None for silence, seconds).
Script = Sequence[tuple[str | None, float]]


class Seats:
    """A room of seats with a microphone each, at which voices of known directions speak."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.stage: Any = voices.Stage(seed)

    def room(self, seats: int, *names: str, **options: Any) -> RoomTracker:
        trackers: list[Any] = []
        for _ in range(seats):
            backend = voices.Backend(voices.CALIBRATION)
            trackers.append(voices.Tracker(self.stage.roster(*names), backend, voices.embed, peers=trackers))
        return RoomTracker(trackers, RATE // 2, voices.Backend(voices.CALIBRATION), **options)

    def steps(self, scripts: Sequence[Script], leak_db: float | None = 12.0) -> list[list[Step]]:
        """The steps of each seat's microphone. Where its own people are silent it hears the others', weaker by leak_db
        (None: not at all)."""
        return [self._heard(seat, scripts, leak_db) for seat in range(len(scripts))]

    def _heard(self, seat: int, scripts: Sequence[Script], leak_db: float | None) -> list[Step]:
        """What this seat's microphone hears, half second by half second."""
        ticks = [_ticks(script) for script in scripts]
        heard: list[tuple[str | None, float]] = []
        for i in range(max(map(len, ticks))):
            said = [own[i] if i < len(own) else None for own in ticks]
            others = [name for name in said if name is not None]
            if said[seat] is not None:
                heard.append((said[seat], OWN_DB))
            elif others and leak_db is not None:
                heard.append((others[0], OWN_DB - leak_db))
            else:
                heard.append((None, NOISE_DB))
        frames, spoken = self._frames(seat, heard)
        return [_step(number, frames, spoken, level_db) for number, (_, level_db) in enumerate(heard)]

    def _frames(self, seat: int, heard: Sequence[tuple[str | None, float]]) -> tuple[Frames, Frames]:
        """Frames and whether they are speech. What a voice says is the same at every microphone that hears it: the
        greater part of the noise is the voice's own, the lesser the microphone's."""
        count = FRAME_GRID.end_frame(len(heard) * STEP)
        frames = _noise(NOISE / 4, count, self.seed, seat)
        spoken = np.zeros((count, 1), np.float32)
        centres = np.arange(count) * FRAME_GRID.stride + FRAME_GRID.receptive_field // 2
        ticks = np.minimum(centres // STEP, len(heard) - 1)
        for name in sorted({name for name, _ in heard if name is not None}):
            said = np.array([name == who for who, _ in heard])[ticks]
            frames[said] += (self.stage.voice(name) + _noise(NOISE, count, self.seed, *name.encode()))[said]
            spoken[said] = 1.0
        return frames, spoken


def _noise(scale: float, count: int, *seed: int) -> Frames:
    noise: Frames = np.random.default_rng(seed).standard_normal((count, voices.DIMENSION)).astype(np.float32)
    return scale * noise


def _step(number: int, frames: Frames, spoken: Frames, level_db: float) -> Step:
    end = (number + 1) * STEP
    first, last = FRAME_GRID.end_frame(end - STEP), FRAME_GRID.end_frame(end)
    windows = []
    for duration in (1.0, 3.0):
        start = max(0, end - round(duration * RATE))
        inside = slice(FRAME_GRID.first_frame(start), last)
        speech_s = float(spoken[inside].sum()) * FRAME_GRID.stride / RATE
        if speech_s >= 0.4:
            pooled = Moments.of(frames[inside], spoken[inside])
            windows.append(Window(start, end, duration, voices.embed(pooled), speech_s, end < duration * RATE))
    return Step(
        start_sample=end - STEP,
        end_sample=end,
        windows=tuple(windows),
        grid=FRAME_GRID,
        first_frame=first,
        speech=spoken[first:last, 0],
        block=Moments.of(frames[first:last], spoken[first:last]),
        level_db=level_db,
    )


def _ticks(script: Script) -> list[str | None]:
    """Half seconds, as the steps have them."""
    return [name for name, seconds in script for _ in range(round(seconds * 2))]


@pytest.fixture
def seats():
    return Seats()


@pytest.fixture(scope="session")
def new_seats():
    """For property tests, which need fresh ones for each example."""
    return Seats

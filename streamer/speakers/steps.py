"""What a tracker keeps of the engine's steps, one by one and pooled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import SAMPLE_RATE
from streamer.engine.window import Step, Window
from streamer.models.pooling import Moments
from streamer.speakers.profiles import Vector, unit

Embed = Callable[[Moments[Vector]], Vector]

#: A window that begins at most this long before a turn still counts as part of it.
SLACK = SAMPLE_RATE // 4


def frame_speech(step: Step, silence_db: float) -> NDArray[np.float32]:
    """The speech probability of each new frame of a step. Without a speech detector, it depends on the level."""
    if step.speech is not None:
        return step.speech
    return np.full(step.num_frames, float(step.level_db > silence_db), np.float32)


@dataclass(frozen=True, slots=True)
class HeardStep:
    """One step, as part of a turn: the position of its new sound, its amount of speech, and its results.

    block: moments of the new frames, or None if frames cannot be pooled step by step (`exact` mode).
    windows: those that end here, shortest first.
    """

    start_sample: int
    end_sample: int
    speech_s: float
    block: Moments[Vector] | None
    windows: tuple[Window, ...]

    @classmethod
    def of(cls, step: Step, speech: NDArray[np.float32]) -> HeardStep:
        """From a step of the engine. New frames represent earlier sound, shifted back by their look-ahead."""
        return cls(
            start_sample=step.grid.sound_start(step.first_frame),
            end_sample=step.grid.sound_start(step.first_frame + len(speech)),
            speech_s=step.grid.seconds(float(speech.sum())),
            block=step.block,
            windows=step.windows,
        )

    @property
    def middle(self) -> int:
        return (self.start_sample + self.end_sample) // 2

    def inside(self, start_sample: int) -> tuple[Window, ...]:
        """The windows that hold nothing from before `start_sample`, within the slack; shortest first."""
        return tuple(window for window in self.windows if window.start_sample >= start_sample - SLACK)

    @classmethod
    def restored(cls, snapshot: Mapping[str, Any]) -> HeardStep:
        """From the fields of a snapshot."""
        block = snapshot["block"]
        windows = tuple(Window(**window) for window in snapshot["windows"])
        return cls(**{**snapshot, "block": block and Moments(**block), "windows": windows})


@dataclass(slots=True)
class Pool:
    """Pools steps into one as they come, at a cost that does not grow with their number.

    pooled: the moments of their frames, or in `exact` mode the sum of their windows' directions, each times its seconds
        of speech; None before any speech.
    speech_s: seconds of speech in all of them.
    """

    pooled: Moments[Vector] | Vector | None = None
    speech_s: float = 0.0

    @classmethod
    def of(cls, steps: Iterable[HeardStep], start_sample: int) -> Pool:
        """Pool all these steps of a turn that began at `start_sample`."""
        pool = cls()
        for step in steps:
            pool.add(step, start_sample)
        return pool

    def add(self, step: HeardStep, start_sample: int) -> None:
        """Add a step of a turn that began at `start_sample`."""
        self.speech_s += step.speech_s
        if step.speech_s <= 0:
            return
        if step.block is not None:
            if float(step.block.weight[0]) > 0:
                self.pooled = self.pooled.joined(step.block) if isinstance(self.pooled, Moments) else step.block
        elif inside := step.inside(start_sample):
            direction = unit(inside[-1].embedding) * np.float32(step.speech_s)
            self.pooled = self.pooled + direction if isinstance(self.pooled, np.ndarray) else direction

    def embedding(self, embed: Embed | None) -> tuple[Vector, float] | None:
        """The embedding of all steps, with their seconds of speech; None without speech."""
        if isinstance(self.pooled, Moments):
            if embed is None:
                raise TypeError("steps with blocks need the model's embed() to become an embedding")
            return embed(self.pooled), self.speech_s
        return None if self.pooled is None else (self.pooled, self.speech_s)

    @classmethod
    def restored(cls, snapshot: Mapping[str, Any]) -> Pool:
        """From the fields of a snapshot."""
        pooled = snapshot["pooled"]
        return cls(Moments(**pooled) if isinstance(pooled, dict) else pooled, snapshot["speech_s"])

"""A model of who speaks when in a meeting: turns that follow each other, turns that start early, and short
interjections during other turns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorPlan:
    """The distribution of conversations; times are in seconds, and ranges are uniform.

    alone: the share of conversations without overlap. short: the share of turns of a word or two.
    early, pause: how often a turn begins before the previous one has ended, and how often after a pause.
    beside: interjections of others in a second of a turn.
    """

    voices: int = 3
    alone: float = 0.15
    turn_s: tuple[float, float] = (1.0, 6.0)
    short_s: tuple[float, float] = (0.4, 1.5)
    short: float = 0.3
    early: float = 0.55
    early_s: tuple[float, float] = (0.2, 3.0)
    pause: float = 0.3
    pause_s: tuple[float, float] = (0.1, 1.5)
    beside: float = 0.3
    beside_s: tuple[float, float] = (0.3, 1.2)

    def draw(self, seconds: float, rate: float, rng: np.random.Generator) -> NDArray[np.bool_]:
        """(voices, positions): whether each voice may speak at each position, with `rate` positions a second."""
        held = np.zeros((self.voices, round(seconds * rate)), np.bool_)
        alone = rng.random() < self.alone
        position, before = rng.uniform(0, 1), -1
        while position < seconds:
            voice = int(rng.choice([voice for voice in range(self.voices) if voice != before]))
            length = rng.uniform(*(self.short_s if rng.random() < self.short else self.turn_s))
            self._hold(held, voice, position, position + length, rate)
            if not alone:
                for _ in range(rng.poisson(self.beside * length)):
                    other = int(rng.choice([other for other in range(self.voices) if other != voice]))
                    start = position + rng.uniform(0, length)
                    self._hold(held, other, start, start + rng.uniform(*self.beside_s), rate)
            position, before = position + length + self._until_next(length, alone, rng), voice
        return held

    def _until_next(self, length: float, alone: bool, rng: np.random.Generator) -> float:
        drawn = rng.random()
        if drawn < self.early and not alone:
            return -min(rng.uniform(*self.early_s), 0.8 * length)
        return rng.uniform(*self.pause_s) if drawn < self.early + self.pause else 0.0

    @staticmethod
    def _hold(held: NDArray[np.bool_], voice: int, start_s: float, end_s: float, rate: float) -> None:
        held[voice, round(start_s * rate) : round(end_s * rate)] = True

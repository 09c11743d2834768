"""Evaluation of overlap detection, in positions of 10 ms."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import SAMPLE_RATE
from streamer.rttm import LabelledTurn

#: Samples of one position.
POSITION = SAMPLE_RATE // 100


@dataclass(frozen=True, slots=True)
class Found:
    """Numbers of positions of 10 ms: detected as overlap, overlap in the reference, and both."""

    told: int
    there: int
    right: int

    @property
    def precision(self) -> float:
        return self.right / self.told if self.told else math.nan

    @property
    def recall(self) -> float:
        return self.right / self.there if self.there else math.nan

    @classmethod
    def of(cls, reference: Sequence[LabelledTurn], stretches: Sequence[tuple[int, int]]) -> Found:
        """Compare detected stretches [start, end) of overlap with the reference turns, in samples."""
        ends = [end for _, end, _ in reference] + [end for _, end in stretches]
        positions = -(-max(ends, default=0) // POSITION)
        speakers = sorted({who for _, _, who in reference})
        voices = [_covered([(a, b) for a, b, who in reference if who == name], positions) for name in speakers]
        there = np.sum(voices, axis=0) > 1 if voices else np.zeros(positions, np.bool_)
        told = _covered(stretches, positions)
        return cls(int(told.sum()), int(there.sum()), int((told & there).sum()))

    @classmethod
    def total(cls, each: Iterable[Found]) -> Found:
        """The sum over several recordings."""
        some = list(each)
        return cls(sum(one.told for one in some), sum(one.there for one in some), sum(one.right for one in some))


def _covered(stretches: Iterable[tuple[int, int]], positions: int) -> NDArray[np.bool_]:
    covered = np.zeros(positions, np.bool_)
    for start, end in stretches:
        covered[round(start / POSITION) : round(end / POSITION)] = True
    return covered

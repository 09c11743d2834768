"""Finds where speech starts and ends, from frame-level speech probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamer.models.grid import FrameGrid


@dataclass(frozen=True, slots=True)
class Boundary:
    """Speech starts, or ends, at `sample`."""

    sample: int
    starts: bool


class SpeechBoundaries:
    """Speech detection with two thresholds and two minimum durations.

    Speech starts with a run of `min_speech_s` at or above `onset`, which may dip to `offset`. It ends with a run of
    `min_silence_s` that never returns to `onset`. A boundary lies where its run began: it is reported late, but its
    position is not late.
    """

    def __init__(self, onset: float, offset: float, min_speech_s: float, min_silence_s: float) -> None:
        self.onset, self.offset = onset, offset
        self.min_speech_s, self.min_silence_s = min_speech_s, min_silence_s
        self.speaking = False
        #: The first frame of the run that would change the state, or None.
        self._run: int | None = None

    def update(self, grid: FrameGrid, first_frame: int, probabilities: NDArray[np.floating]) -> list[Boundary]:
        """Process consecutive frames of a grid, probabilities (frames,)."""
        min_speech, min_silence = grid.frames_of(self.min_speech_s), grid.frames_of(self.min_silence_s)
        found = []
        for frame, probability in enumerate(probabilities.tolist(), first_frame):
            if self.speaking:
                self._follow(frame, fitting=probability < self.offset, broken=probability >= self.onset)
                needed = min_silence
            else:
                self._follow(frame, fitting=probability >= self.onset, broken=probability < self.offset)
                needed = min_speech
            if self._run is not None and frame + 1 - self._run >= needed:
                self.speaking = not self.speaking
                found.append(Boundary(grid.sound_start(self._run), self.speaking))
                self._run = None
        return found

    def _follow(self, frame: int, *, fitting: bool, broken: bool) -> None:
        if broken:
            self._run = None
        elif self._run is None and fitting:
            self._run = frame

    def interrupt(self) -> bool:
        """The stream has a gap, or ends: start again in silence. Returns whether speech was cut short."""
        cut, self.speaking, self._run = self.speaking, False, None
        return cut

    def snapshot(self) -> dict[str, Any]:
        return {"speaking": self.speaking, "run": self._run}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        self.speaking, self._run = snapshot["speaking"], snapshot["run"]

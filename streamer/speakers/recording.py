"""The data of one recording within an enrolment: the engine's steps, levels, and clipped samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import Samples
from streamer.engine.window import Step
from streamer.models.grid import FrameGrid
from streamer.speakers.steps import HeardStep, frame_speech

#: Samples at or above this value count as clipped.
FULL_SCALE = 0.99
#: Without a speech detector, all sound above this level (dB below full scale) counts as speech.
QUIETEST_DB = -60.0


class EnrolmentRecording:
    """One stretch of uninterrupted audio within an enrolment."""

    def __init__(self) -> None:
        self.steps: list[HeardStep] = []
        self.samples = 0
        self.clipped = 0
        #: The frame grid. Samples wait until the first step brings it, because levels are measured in its strides.
        self._grid: FrameGrid | None = None
        #: The mean power of each stride of samples, and the speech probability of its frame.
        self._energy: list[NDArray[np.float64]] = []
        self._speech: dict[int, float] = {}
        self._waiting: list[Samples] = []
        self._rest = np.zeros(0, np.float32)

    def hear(self, samples: Samples) -> None:
        self.samples += len(samples)
        self.clipped += int(np.count_nonzero(np.abs(samples) >= FULL_SCALE))
        # A copy: the caller may reuse its buffer.
        self._waiting.append(samples.copy())
        if self._grid is not None:
            self._measure(self._grid.stride)

    def _measure(self, stride: int) -> None:
        joined = np.concatenate([self._rest, *self._waiting])
        self._waiting.clear()
        hops = len(joined) // stride
        blocks = joined[: hops * stride].reshape(hops, stride)
        self._energy.append(np.mean(np.square(blocks, dtype=np.float64), axis=1))
        self._rest = joined[hops * stride :]

    def step(self, step: Step) -> None:
        grid = self._grid = step.grid
        if self._waiting:
            self._measure(grid.stride)
        speech = frame_speech(step, QUIETEST_DB)
        for frame, probability in enumerate(speech.tolist(), step.first_frame):
            self._speech[grid.sound_start(frame) // grid.stride] = probability
        self.steps.append(HeardStep.of(step, speech))

    def levels(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The power and speech probability of each stride of samples that has a frame."""
        energy = np.concatenate([np.zeros(0), *self._energy])
        heard = [hop for hop in sorted(self._speech) if hop < len(energy)]
        return energy[heard], np.array([self._speech[hop] for hop in heard])

    def stretches(self, least_s: float) -> list[list[HeardStep]]:
        """The steps in groups with about `least_s` seconds of speech each; a short remainder joins the last group."""
        groups: list[list[HeardStep]] = []
        for step in self.steps:
            if not groups or _speech_s(groups[-1]) >= least_s:
                groups.append([])
            groups[-1].append(step)
        if len(groups) > 1 and _speech_s(groups[-1]) < least_s / 2:
            rest = groups.pop()
            groups[-1] += rest
        return groups


def _speech_s(steps: list[HeardStep]) -> float:
    return sum(step.speech_s for step in steps)

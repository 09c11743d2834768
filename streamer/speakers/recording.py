"""What an enrolment hears of one recording: the engine's pieces of it, its levels, and its clipped samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import Samples
from streamer.engine.window import Step
from streamer.models.architecture import FRAME_GRID
from streamer.speakers.boundaries import frame_sample
from streamer.speakers.turn import Piece, frame_speech

#: Samples from here on count as clipped.
FULL_SCALE = 0.99
#: Without a speech detector, all sound above this level (dB below full scale) counts as speech.
QUIETEST_DB = -60.0


class Recording:
    """One stretch of uninterrupted audio within an enrolment."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self.samples = 0
        self.clipped = 0
        #: Mean power of each 270 samples, and the speech probability of the frame that has its centre there.
        self._energy: list[NDArray[np.float64]] = []
        self._speech: dict[int, float] = {}
        self._rest = np.zeros(0, np.float32)

    def hear(self, samples: Samples) -> None:
        self.samples += len(samples)
        self.clipped += int(np.count_nonzero(np.abs(samples) >= FULL_SCALE))
        joined = np.concatenate([self._rest, samples])
        hops = len(joined) // FRAME_GRID.stride
        blocks = joined[: hops * FRAME_GRID.stride].reshape(hops, FRAME_GRID.stride)
        self._energy.append(np.mean(np.square(blocks, dtype=np.float64), axis=1))
        self._rest = joined[hops * FRAME_GRID.stride :]

    def step(self, step: Step) -> None:
        speech = frame_speech(step, QUIETEST_DB)
        for frame, probability in enumerate(speech.tolist(), step.first_frame):
            self._speech[frame_sample(frame) // FRAME_GRID.stride] = probability
        self.pieces.append(Piece.of(step, speech))

    def levels(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Power and speech probability of each 270 samples that a frame has its centre in."""
        energy = np.concatenate([np.zeros(0), *self._energy])
        heard = [hop for hop in sorted(self._speech) if hop < len(energy)]
        return energy[heard], np.array([self._speech[hop] for hop in heard])

    def stretches(self, least_s: float) -> list[list[Piece]]:
        """The pieces in groups with about `least_s` seconds of speech each; a short rest joins the last group."""
        groups: list[list[Piece]] = []
        for piece in self.pieces:
            if not groups or _speech_s(groups[-1]) >= least_s:
                groups.append([])
            groups[-1].append(piece)
        if len(groups) > 1 and _speech_s(groups[-1]) < least_s / 2:
            rest = groups.pop()
            groups[-1] += rest
        return groups


def _speech_s(pieces: list[Piece]) -> float:
    return sum(piece.speech_s for piece in pieces)

"""Where somebody speaks in a recording of nobody else: what a stream's names are compared with.

A detector says it. A level does not tell: what is 35 dB below a recording's loudest sound may be a breath, a room or a
microphone, which every tracker would be said to miss.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import SAMPLE_RATE
from streamer.speech.silero import CHUNK, speech_probabilities

#: A shorter pause is a part of the speech around it.
PAUSE_S = 0.3
THRESHOLD = 0.5
#: Samples more at either end of a stretch: the detector has to hear a sound before it knows it.
PAD = CHUNK

SampleRange = tuple[int, int]


def speech_stretches(samples: NDArray[np.float32]) -> list[SampleRange]:
    """The stretches (start, end) of speech in undisturbed samples (n,) at 16 kHz, to 32 ms; all of it, where silero-vad
    finds none."""
    (probabilities,) = speech_probabilities([samples])
    spoken = np.concatenate([[False], probabilities >= THRESHOLD, [False]])
    edges = np.flatnonzero(np.diff(spoken)).reshape(-1, 2) * CHUNK
    stretches = [(max(0, int(start) - PAD), min(int(end) + PAD, len(samples))) for start, end in edges]
    return without_short_pauses(stretches) or [(0, len(samples))]


def without_short_pauses(stretches: list[SampleRange]) -> list[SampleRange]:
    """Stretches in their order, those that are less than `PAUSE_S` apart made one."""
    joined: list[SampleRange] = []
    for start, end in stretches:
        if joined and start - joined[-1][1] < PAUSE_S * SAMPLE_RATE:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined

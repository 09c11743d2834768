"""The stretches of speech in a recording of one speaker, as the reference of a stream's names.

A detector finds them. Level alone would not do: a sound 35 dB below a recording's loudest may be a breath, a room or a
microphone, and every tracker would seem to miss it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import SAMPLE_RATE
from streamer.speech.silero import CHUNK, speech_probabilities

#: Shorter pauses count as speech.
PAUSE_S = 0.3
THRESHOLD = 0.5
#: Samples added at either end of a stretch, because the detector reacts after the start of a sound.
PAD = CHUNK

SampleRange = tuple[int, int]


def speech_stretches(samples: NDArray[np.float32]) -> list[SampleRange]:
    """The stretches (start, end) of speech in undisturbed samples (n,) at 16 kHz, to 32 ms; all samples, if silero-vad
    finds none."""
    (probabilities,) = speech_probabilities([samples])
    spoken = np.concatenate([[False], probabilities >= THRESHOLD, [False]])
    edges = np.flatnonzero(np.diff(spoken)).reshape(-1, 2) * CHUNK
    stretches = [(max(0, int(start) - PAD), min(int(end) + PAD, len(samples))) for start, end in edges]
    return without_short_pauses(stretches) or [(0, len(samples))]


def without_short_pauses(stretches: list[SampleRange]) -> list[SampleRange]:
    """Join stretches, given in order, that are less than `PAUSE_S` apart."""
    joined: list[SampleRange] = []
    for start, end in stretches:
        if joined and start - joined[-1][1] < PAUSE_S * SAMPLE_RATE:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined

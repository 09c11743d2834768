"""Weights, audio and settings of the golden vectors, made from seeds: both sides make the same, and none are stored.

Needs numpy alone, so that it runs in pyannote.audio's environment as well as in ours.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
DIMENSION = 512
#: The buffers of the sinc filterbank, which each side computes and which are compared, too.
COMPUTED = ("window_", "n_")

#: In samples: the minimum, one that fills its last frame, one sample more, and up to a minute.
#: Of CAM++: under a segment of 2 s, one and a half, five.
CAMPPLUS_SAMPLES = (8_000, 48_037, 160_000)
WHOLE_SAMPLES = (5_041, 5_310, 5_311, 16_000, 48_000, 160_000, 960_000)
#: Name -> (samples of audio, duration in s, step in s).
SLIDING = {
    "exact-fit": (8 * SAMPLE_RATE, 3.0, 1.0),
    "padded-end": (8 * SAMPLE_RATE + 4_321, 3.0, 0.7),
    "shorter-than-window": (2 * SAMPLE_RATE, 3.0, 1.0),
    "default-step": (4 * SAMPLE_RATE, None, None),
    "minute": (60 * SAMPLE_RATE, 5.0, 5.0),
}
#: Name -> segments in seconds of a 20 s recording.
CROPS = {"one": [(13.37, 19.81)], "joined": [(1.0, 2.5), (7.25, 8.003), (4.0, 5.0)]}
CROP_SAMPLES = 20 * SAMPLE_RATE


def seeded_weights(shapes: Mapping[str, tuple[int, ...]], seed: int = 2) -> dict[str, NDArray[np.float32]]:
    """Weights of about the size that training gives, by name; without the computed buffers and the batch counts."""
    random = np.random.default_rng(seed)
    weights = {}
    for name in sorted(shapes):
        shape = shapes[name]
        last = name.rsplit(".", 1)[-1]
        if last in COMPUTED or last == "num_batches_tracked":
            continue
        if last == "low_hz_":
            value = np.geomspace(30, 6_800, shape[0]).reshape(shape) + random.uniform(0, 20, shape)
        elif last == "band_hz_":
            value = random.uniform(20, 400, shape)
        elif last == "running_var":
            value = random.uniform(0.5, 2, shape)
        elif last == "weight" and len(shape) > 1:
            value = random.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape)
        elif last == "weight":
            value = random.uniform(0.7, 1.3, shape)
        else:
            value = random.normal(0, 0.1, shape)
        weights[name] = value.astype(np.float32)
    return weights


def seeded_audio(num_samples: int, seed: int = 3) -> NDArray[np.float32]:
    """(1, samples) float32: harmonics of a gliding voice pitch under a syllable-like envelope, and noise."""
    random = np.random.default_rng(seed)
    time = np.arange(num_samples) / SAMPLE_RATE
    phase = 2 * np.pi * (120 * time + 8 * np.sin(2 * np.pi * 0.7 * time))
    voice = sum(np.cos(k * phase + random.uniform(0, 6)) / k for k in range(1, 25))
    envelope = 0.55 + 0.45 * np.sin(2 * np.pi * 3.1 * time)
    samples = 0.1 * envelope * voice + 0.005 * random.standard_normal(num_samples)
    return samples[None].astype(np.float32)


def seeded_pooling(seed: int = 4) -> dict[str, NDArray[np.float32]]:
    """Waveforms (2, 1, samples) with weights (2, n) and (2, speakers, n), of which one speaker never speaks."""
    random = np.random.default_rng(seed)
    by_speaker = random.uniform(0, 1, (2, 3, 59)).astype(np.float32)
    by_speaker[:, 1] = by_speaker[:, 1] > 0.5
    by_speaker[:, 2] = 0
    return {
        "waveforms": np.stack([seeded_audio(48_000, seed) for seed in (5, 6)]),
        "weights": random.uniform(0, 1, (2, 100)).astype(np.float32),
        "by_speaker": by_speaker,
    }

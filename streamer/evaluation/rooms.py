"""The channel that all voices of one recording share: a room, a microphone with its noise and level control, and a
codec. Strangers who share a channel sound more alike than strangers who do not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import firwin2, lfilter, oaconvolve

from streamer.audio.chunks import SAMPLE_RATE
from streamer.evaluation.conditions import CHANNELS, parse_condition
from streamer.evaluation.manifest import Float32

#: Conditions that a channel is drawn from; one in four is clean.
DRAWN = (*CHANNELS, *("clean",) * (len(CHANNELS) // 3))
#: The target of a level control, as RMS of speech.
LEVEL = 0.05
BLOCK = 160  # samples of one gain of a level control


@dataclass(frozen=True, slots=True)
class AcousticChannel:
    """One room with one microphone.

    condition: the name of what the sound goes through after the microphone.
    rt60_s: reverberation time. microphone: its response as a filter of odd length, linear in phase.
    control: the share of a level difference that the level control removes, 0 to 1. release_s: its time constant.
    gain_db: of the recording as a whole.
    """

    condition: str
    rt60_s: float
    microphone: NDArray[np.float64]
    control: float
    release_s: float
    gain_db: float

    @classmethod
    def drawn(
        cls, rng: np.random.Generator, rt60_s: tuple[float, float], condition: str | None = None
    ) -> AcousticChannel:
        """A random channel, with the given condition or any."""
        return cls(
            condition or str(rng.choice(DRAWN)),
            float(rng.uniform(*rt60_s)),
            microphone(rng),
            float(rng.choice([0.0, rng.uniform(0.2, 0.8)])),
            float(rng.uniform(0.3, 2.0)),
            float(rng.uniform(-15, 0)),
        )

    def place(self, rng: np.random.Generator) -> Float32:
        """A random place in the room, as an impulse response: the direct sound, and a tail 0 to 12 dB below it from 3
        ms on, with the decay of the room."""
        time = np.arange(1, round(self.rt60_s * SAMPLE_RATE)) / SAMPLE_RATE
        tail = rng.standard_normal(len(time)) * np.exp(-6.9 * time / self.rt60_s) * (time > 0.003)
        tail *= 10 ** (-rng.uniform(0, 12) / 20) / np.sqrt(np.sum(tail**2))
        return np.concatenate([[1.0], tail]).astype(np.float32)

    def hear(self, sound: Float32, rng: np.random.Generator) -> Float32:
        """The recording of a sound in the room (samples,), with noise: the same number of samples, without a shift."""
        heard = oaconvolve(sound, self.microphone, "same")
        heard = self.controlled(heard) * 10 ** (self.gain_db / 20)
        heard = np.asarray(heard / max(1.0, float(np.abs(heard).max(initial=0.0))), np.float32)
        return parse_condition(self.condition)(heard, rng)

    def controlled(self, sound: NDArray[np.floating]) -> NDArray[np.floating]:
        """Apply the level control's gain, which follows a smoothed power."""
        if not self.control or not len(sound):
            return sound
        blocks = -(-len(sound) // BLOCK)
        power = np.square(np.pad(sound, (0, blocks * BLOCK - len(sound)))).reshape(blocks, BLOCK).mean(1)
        decay = np.exp(-BLOCK / SAMPLE_RATE / self.release_s)
        level, _ = lfilter([1 - decay], [1, -decay], power, zi=[decay * LEVEL**2])
        gain = np.clip((LEVEL / np.sqrt(level + 1e-8)) ** self.control, 0.25, 4.0)
        places = (np.arange(blocks) + 0.5) * BLOCK
        return np.asarray(sound * np.interp(np.arange(len(sound)), places, gain))


def microphone(rng: np.random.Generator, points: int = 9, depth_db: float = 6.0) -> NDArray[np.float64]:
    """A smooth response of up to this many decibels either way, without frequencies below 50 to 200 Hz."""
    hertz = np.concatenate([[0.0], 62.5 * 2 ** np.linspace(0, 7, points)])
    decibels = rng.uniform(-depth_db, depth_db, points + 1)
    cut = rng.uniform(50, 200)
    decibels -= np.where(hertz < cut, 20.0, 0.0)
    return np.asarray(firwin2(513, hertz, 10 ** (decibels / 20), fs=SAMPLE_RATE))

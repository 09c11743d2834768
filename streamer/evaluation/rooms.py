"""What all voices of one recording have in common: a room, a microphone, its noise and level control, and what the
sound went through afterwards. Strangers who share it sound more alike than strangers who do not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import firwin2, lfilter, oaconvolve

from streamer.audio.chunks import SAMPLE_RATE
from streamer.evaluation.conditions import CHANNELS, parse_condition
from streamer.evaluation.manifest import Float32

#: Conditions that a channel is drawn from; of four, one is nothing.
DRAWN = (*CHANNELS, *("clean",) * (len(CHANNELS) // 3))
#: The level that a level control aims at, as RMS of speech.
LEVEL = 0.05
BLOCK = 160  # samples of one gain of a level control


@dataclass(frozen=True, slots=True)
class AcousticChannel:
    """One room with one microphone.

    condition: by its name, what the sound goes through after the microphone.
    rt60_s: reverberation time. microphone: its response as a filter of odd length, linear in phase.
    control: how much of a difference in level its level control takes away, 0 to 1. release_s: how slowly.
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
        """One at random; of the given condition, or of any."""
        return cls(
            condition or str(rng.choice(DRAWN)),
            float(rng.uniform(*rt60_s)),
            microphone(rng),
            float(rng.choice([0.0, rng.uniform(0.2, 0.8)])),
            float(rng.uniform(0.3, 2.0)),
            float(rng.uniform(-15, 0)),
        )

    def place(self, rng: np.random.Generator) -> Float32:
        """Somebody's place in the room: the direct sound, and a tail 0 to 12 dB below it from 3 ms on, which decays as
        the room makes it."""
        time = np.arange(1, round(self.rt60_s * SAMPLE_RATE)) / SAMPLE_RATE
        tail = rng.standard_normal(len(time)) * np.exp(-6.9 * time / self.rt60_s) * (time > 0.003)
        tail *= 10 ** (-rng.uniform(0, 12) / 20) / np.sqrt(np.sum(tail**2))
        return np.concatenate([[1.0], tail]).astype(np.float32)

    def hear(self, sound: Float32, rng: np.random.Generator) -> Float32:
        """What is recorded of a sound in the room (samples,), its noise included: as many samples, in their places."""
        heard = oaconvolve(sound, self.microphone, "same")
        heard = self.controlled(heard) * 10 ** (self.gain_db / 20)
        heard = np.asarray(heard / max(1.0, float(np.abs(heard).max(initial=0.0))), np.float32)
        return parse_condition(self.condition)(heard, rng)

    def controlled(self, sound: NDArray[np.floating]) -> NDArray[np.floating]:
        """With the level control's gain, which follows a smoothed power."""
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
    """A smooth response of up to so many decibels either way, without what lies under 50 to 200 Hz."""
    hertz = np.concatenate([[0.0], 62.5 * 2 ** np.linspace(0, 7, points)])
    decibels = rng.uniform(-depth_db, depth_db, points + 1)
    cut = rng.uniform(50, 200)
    decibels -= np.where(hertz < cut, 20.0, 0.0)
    return np.asarray(firwin2(513, hertz, 10 ** (decibels / 20), fs=SAMPLE_RATE))

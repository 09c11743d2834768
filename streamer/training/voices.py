"""More voices than were recorded: the same speech at another speed, or with another vocal tract length.

The network learns to match a teacher, and the teacher also embeds voices that nobody has.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import ShortTimeFFT, get_window

from streamer.audio.chunks import SAMPLE_RATE
from streamer.evaluation.manifest import Float32

FRAME, HOP = 512, 128  # 32 ms: a few periods of any voice
LIFTER = 30  # cepstral coefficients of an envelope: less than the shortest period of a voice, 36 samples (450 Hz)
MOST_DB = 20.0
FASTEST, FURTHEST = 1.22, 1.14  # The largest changes of a drawn voice, in either direction.


@dataclass(frozen=True, slots=True)
class Voice:
    """A change of voice.

    speed: factor on tempo, pitch and formants together (Ko et al., 2015).
    formants: factor on the formants alone.
    """

    speed: float = 1.0
    formants: float = 1.0

    def of(self, wave: Float32) -> Float32:
        """A wave (samples,) at 16 kHz in this voice: it has about samples / speed samples."""
        import soxr

        if self.formants != 1.0:
            wave = warp_formants(wave, self.formants)
        return wave if self.speed == 1.0 else soxr.resample(wave, SAMPLE_RATE * self.speed, SAMPLE_RATE)


def voices_of(speaker: int, speeds: list[float], drawn: int, seed: int = 3) -> list[Voice]:
    """The voices of a speaker, given by number: one at each speed, then `drawn` voices that no other speaker has.

    seed: of the drawn voices.
    """
    rng = np.random.default_rng([seed, speaker])
    factors = np.exp(rng.uniform(-1, 1, (drawn, 2)) * np.log([FASTEST, FURTHEST]))
    return [Voice(speed) for speed in speeds] + [Voice(float(speed), float(f)) for speed, f in factors]


def warp_formants(wave: Float32, factor: float) -> Float32:
    """Stretch the spectral envelope of a wave (samples,) over frequency, and keep its pitch.

    Each short-time spectrum is multiplied by the ratio of its stretched envelope to its original one; the envelope is
    the exponential of the low cepstrum (Oppenheim, 1969).
    """
    stft = ShortTimeFFT(np.sqrt(get_window("hann", FRAME)), HOP, SAMPLE_RATE)
    spectra = stft.stft(np.pad(wave, (0, max(0, FRAME - len(wave)))))
    cepstra = np.fft.irfft(np.log(np.abs(spectra) + 1e-6), axis=0)
    cepstra[LIFTER : FRAME - LIFTER + 1] = 0.0
    envelope = np.fft.rfft(cepstra, axis=0).real
    place = np.minimum(np.arange(FRAME // 2 + 1) / factor, FRAME // 2)
    below = np.minimum(place.astype(int), FRAME // 2 - 1)
    stretched = envelope[below] + (envelope[below + 1] - envelope[below]) * (place - below)[:, None]
    limit = MOST_DB / 20 * np.log(10)
    warped = stft.istft(spectra * np.exp(np.clip(stretched - envelope, -limit, limit)))
    return np.asarray(warped[: len(wave)], np.float32)

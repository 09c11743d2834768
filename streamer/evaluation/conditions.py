"""Disturbances to evaluate under, each a function of a waveform and a generator. Independent of training's own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.signal import butter, fftconvolve, sosfiltfilt

from streamer.errors import ConfigurationError
from streamer.evaluation.manifest import SAMPLE_RATE, Float32

Condition = Callable[[Float32, np.random.Generator], Float32]


def gain(db: float) -> Condition:
    """So many dB louder; nothing clips."""
    return lambda wave, _: np.asarray(wave * np.float32(10 ** (db / 20)))


def telephone() -> Condition:
    """A band from 300 to 3,400 Hz, then 8 bits of G.711 mu-law, at the level the speech has."""
    band = butter(4, [300, 3_400], "bandpass", fs=SAMPLE_RATE, output="sos")

    def apply(wave: Float32, _: np.random.Generator) -> Float32:
        narrow = np.clip(sosfiltfilt(band, wave), -1, 1)
        code = np.round(np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256) * 127)
        return np.asarray(np.sign(code) * np.expm1(np.abs(code) / 127 * np.log(256)) / 255, np.float32)

    return apply


def noise(snr_db: float) -> Condition:
    """Pink noise below the speech by so many dB (of mean power over the whole item, pauses included)."""

    def apply(wave: Float32, rng: np.random.Generator) -> Float32:
        spectrum = np.fft.rfft(rng.standard_normal(len(wave)))
        spectrum /= np.sqrt(np.maximum(np.fft.rfftfreq(len(wave)), 50 / SAMPLE_RATE))
        pink = np.fft.irfft(spectrum, len(wave))
        pink *= np.sqrt(np.mean(np.square(wave)) / np.mean(np.square(pink))) * 10 ** (-snr_db / 20)
        return np.asarray(wave + pink, np.float32)

    return apply


def reverb(rt60_s: float, direct_db: float = 0.0) -> Condition:
    """A room of that reverberation time: decaying noise, another one for each item (Polack's model).

    direct_db: energy of the direct sound over that of the reverberation.
    """

    def apply(wave: Float32, rng: np.random.Generator) -> Float32:
        taps = round(rt60_s * SAMPLE_RATE)
        tail = rng.standard_normal(taps) * 10 ** (-3 * np.arange(taps) / taps)
        tail[:80] = 0.0  # Nothing comes back in the first 5 ms.
        response = tail / np.sqrt(np.sum(tail**2)) * 10 ** (-direct_db / 20)
        response[0] = 1.0
        return np.asarray(fftconvolve(wave, response)[: len(wave)], np.float32)

    return apply


KINDS = {"gain": gain, "noise": noise, "reverb": reverb}


def parse_condition(text: str) -> Condition:
    """A condition from its name: clean, telephone, gain=-40, noise=10 (dB SNR), reverb=0.5 (RT60 in s)."""
    name, _, value = text.partition("=")
    if text == "clean":
        return lambda wave, _: wave
    if text == "telephone":
        return telephone()
    try:
        return KINDS[name](float(value))
    except (KeyError, ValueError) as error:
        raise ConfigurationError(
            f"condition {text!r} is not known; use clean, telephone, gain=DB, noise=SNR_DB or reverb=RT60_S."
        ) from error


def disturbed(items: list[Float32], condition: Condition, seed: int = 0) -> list[Float32]:
    """Every item under a condition; the item's number decides its randomness."""
    return [condition(item, np.random.default_rng([seed, number])) for number, item in enumerate(items)]

"""Conditions of the audio, by name: each is a function of a waveform and a generator.

They are independent of the augmentation in training. No condition shifts speech in time.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.signal import butter, fftconvolve, firwin, kaiserord, oaconvolve, sosfiltfilt

from streamer.audio.chunks import SAMPLE_RATE
from streamer.errors import ConfigurationError
from streamer.evaluation.codecs import Codec, InTime, companded, fitted, resampled
from streamer.evaluation.manifest import Float32

Condition = Callable[[Float32, np.random.Generator], Float32]


def gain(db: float) -> Condition:
    """Change the level by this many dB; nothing clips."""
    return lambda wave, _: np.asarray(wave * np.float32(10 ** (db / 20)))


def telephone() -> Condition:
    """A band from 300 to 3,400 Hz, then 8 bits of G.711 mu-law, at the level of the speech."""
    band = butter(4, [300, 3_400], "bandpass", fs=SAMPLE_RATE, output="sos")

    def apply(wave: Float32, _: np.random.Generator) -> Float32:
        narrow = np.clip(sosfiltfilt(band, wave), -1, 1)
        code = np.round(np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256) * 127)
        return np.asarray(np.sign(code) * np.expm1(np.abs(code) / 127 * np.log(256)) / 255, np.float32)

    return apply


def noise(snr_db: float) -> Condition:
    """Add pink noise, this many dB below the speech (mean power over the whole item, pauses included)."""

    def apply(wave: Float32, rng: np.random.Generator) -> Float32:
        spectrum = np.fft.rfft(rng.standard_normal(len(wave)))
        spectrum /= np.sqrt(np.maximum(np.fft.rfftfreq(len(wave)), 50 / SAMPLE_RATE))
        pink = np.fft.irfft(spectrum, len(wave))
        pink *= np.sqrt(np.mean(np.square(wave)) / np.mean(np.square(pink))) * 10 ** (-snr_db / 20)
        return np.asarray(wave + pink, np.float32)

    return apply


def reverb(rt60_s: float, direct_db: float = 0.0) -> Condition:
    """A room with this reverberation time: decaying noise, different for each item (Polack's model).

    direct_db: energy of the direct sound relative to that of the reverberation.
    """

    def apply(wave: Float32, rng: np.random.Generator) -> Float32:
        taps = round(rt60_s * SAMPLE_RATE)
        tail = rng.standard_normal(taps) * 10 ** (-3 * np.arange(taps) / taps)
        tail[:80] = 0.0  # No reflection arrives in the first 5 ms.
        response = tail / np.sqrt(np.sum(tail**2)) * 10 ** (-direct_db / 20)
        response[0] = 1.0
        return np.asarray(fftconvolve(wave, response)[: len(wave)], np.float32)

    return apply


def low_pass(hertz: float) -> Condition:
    """A low-pass filter: linear phase, falling by 80 dB within 200 Hz."""
    taps, beta = kaiserord(80, 200 / (SAMPLE_RATE / 2))
    response = firwin(taps | 1, min(hertz, SAMPLE_RATE / 2 - 100), window=("kaiser", beta), fs=SAMPLE_RATE)
    return lambda wave, _: np.asarray(oaconvolve(wave, response, "same"), np.float32)


def round_trip(rate: float) -> Condition:
    """Resample to another rate and back, by soxr, as a browser or a sound card does."""
    return lambda wave, _: fitted(resampled(resampled(wave, SAMPLE_RATE, int(rate)), int(rate), SAMPLE_RATE), len(wave))


def telephone_line(coder: Callable[[Float32], Float32]) -> Condition:
    """A band from 300 to 3,400 Hz at 8 kHz, then a telephone codec."""
    band = butter(4, [300, 3_400], "bandpass", fs=SAMPLE_RATE // 2, output="sos")
    return coded(lambda wave: coder(np.asarray(sosfiltfilt(band, wave), np.float32)), SAMPLE_RATE // 2)


def coded(coder: Callable[[Float32], Float32], rate: int = SAMPLE_RATE) -> Condition:
    """Encode at a rate and decode, without delay."""
    through = InTime(coder, rate)
    return lambda wave, _: through(wave)


def bit_rate(encoder: str, container: str, options: tuple[tuple[str, str], ...] = ()) -> Callable[[float], Condition]:
    """A codec, given its bits a second."""
    return lambda bits: coded(Codec(encoder, container, SAMPLE_RATE, int(bits), options))


@dataclass(frozen=True, slots=True)
class Kind:
    """A prefix of condition names. make: from the number after it. number: its meaning. common: numbers to measure."""

    make: Callable[[float], Condition]
    number: str
    common: tuple[str, ...] = ()


#: Names with a number behind a dash: `lowpass-7200`, `mp3-32k`. In the number, k stands for a thousand.
KINDS = {
    "lowpass": Kind(low_pass, "HZ", ("3400", "4000", "5500", "6900", "7200", "7900")),
    "roundtrip": Kind(round_trip, "HZ", ("44100", "48000")),
    "mp3": Kind(bit_rate("libmp3lame", "mp3"), "BITS", ("16k", "32k", "64k")),
    "aac": Kind(bit_rate("aac", "mp4"), "BITS", ("16k", "32k", "64k")),
    "opus": Kind(bit_rate("libopus", "ogg", (("application", "voip"),)), "BITS", ("8k", "16k", "32k", "64k")),
    "amr": Kind(
        lambda bits: telephone_line(Codec("libopencore_amrnb", "amr", SAMPLE_RATE // 2, int(bits))),
        "BITS",
        ("4750", "12200"),
    ),
}
#: Names that need no number.
PLAIN: dict[str, Callable[[], Condition]] = {
    "clean": lambda: lambda wave, _: wave,
    "telephone": telephone,
    "telephone-mulaw": lambda: telephone_line(companded("ULAW")),
    "telephone-alaw": lambda: telephone_line(companded("ALAW")),
    "telephone-gsm": lambda: telephone_line(companded("GSM610")),
    "telephone-g726": lambda: telephone_line(Codec("g726", "wav", SAMPLE_RATE // 2, 32_000)),
    "g722": lambda: coded(Codec("g722", "g722")),
}
#: Names with a number behind an equals sign.
MIXED = {"gain": (gain, "DB"), "noise": (noise, "SNR_DB"), "reverb": (reverb, "RT60_S")}

#: Channels between a speaker and the engine, most of them hardly audible: measurements use these.
CHANNELS = (
    *(f"{name}-{number}" for name, kind in KINDS.items() for number in kind.common),
    *(name for name in PLAIN if name not in ("clean", "telephone")),
)


@cache
def parse_condition(text: str) -> Condition:
    """A condition by its name, or several in turn, joined by a plus: `noise=15+mp3-32k`.

    See `known_conditions` for the names. Raises ConfigurationError for an unknown name.
    """
    steps = [_one(name.strip(), text) for name in text.split("+")]
    if len(steps) == 1:
        return steps[0]

    def apply(wave: Float32, rng: np.random.Generator) -> Float32:
        for step in steps:
            wave = step(wave, rng)
        return wave

    return apply


def known_conditions() -> str:
    """All names, as messages list them."""
    numbered = [f"{name}-{kind.number}" for name, kind in KINDS.items()]
    return ", ".join([*PLAIN, *(f"{name}={unit}" for name, (_, unit) in MIXED.items()), *numbered])


def _one(name: str, text: str) -> Condition:
    if name in PLAIN:
        return PLAIN[name]()
    with suppress(KeyError, ValueError):
        if "=" in name:
            kind, _, value = name.partition("=")
            return MIXED[kind][0](float(value))
        kind, _, value = name.rpartition("-")
        number = float(value.removesuffix("k")) * (1000 if value.endswith("k") else 1)
        if number > 0:
            return KINDS[kind].make(number)
    raise ConfigurationError(f"condition {text!r} is not known; use {known_conditions()}, or several with + between.")


def disturbed(items: list[Float32], condition: Condition, seed: int = 0) -> list[Float32]:
    """Every item under a condition; its random numbers depend on the item's number."""
    return [condition(item, np.random.default_rng([seed, number])) for number, item in enumerate(items)]

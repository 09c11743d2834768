"""Augmentation of clean speech: rooms, noise, equalisation, telephone lines, gain.

A batch is augmented at once in the frequency domain, at about a tenth of the cost of a training step. All random
numbers come from the generator that is passed in, so a training step can be repeated from its number alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor

from streamer.audio.chunks import SAMPLE_RATE
from streamer.evaluation.manifest import Float32
from streamer.training.data import Int16

ROOM_TAPS = 8_000  # 0.5 s of a room's response; what comes later is 20 dB down or more in the rooms simulated.
EQ_POINTS = 9
QUIETEST = 1e-7


@dataclass(frozen=True, slots=True)
class Chances:
    """How often each disturbance occurs (probabilities), and how strong it is."""

    room: float = 0.4
    noise: float = 0.7
    babble: float = 0.3  # of the noisy ones; the others get recorded or synthetic noise
    equaliser: float = 0.6
    telephone: float = 0.12
    low_pass: float = 0.12
    clipping: float = 0.08
    quantised: float = 0.2
    snr_db: tuple[float, float] = (0.0, 30.0)
    equaliser_db: float = 8.0


def simulate_rooms(count: int, path: Path, seed: int = 1) -> Tensor:
    """Impulse responses (count, ROOM_TAPS) of random shoe-box rooms by the image source method, saved at `path`.

    Reverberation times are 0.1 to 0.7 s, microphones are 0.2 to 5 m away. Each response starts at its direct sound and
    has energy 1.
    """
    if path.exists():
        return torch.from_numpy(np.load(path))
    import pyroomacoustics
    from rich.progress import track

    rng = np.random.default_rng(seed)
    responses = np.zeros((count, ROOM_TAPS), np.float32)
    for i in track(range(count), description="rooms"):
        size = rng.uniform([2.5, 2.5, 2.2], [10.0, 8.0, 4.0])
        surface = 2 * (size[0] * size[1] + size[0] * size[2] + size[1] * size[2])
        reverberation_s = rng.uniform(0.1, 0.7)
        absorption = min(0.9, 0.161 * float(size.prod()) / (surface * reverberation_s))  # Sabine's formula
        order = min(15, int(343 * reverberation_s / size.min()) + 1)
        room = pyroomacoustics.ShoeBox(
            size, fs=SAMPLE_RATE, materials=pyroomacoustics.Material(absorption), max_order=order
        )
        microphone = rng.uniform([0.3, 0.3, 0.5], size - [0.3, 0.3, 0.5])
        direction = rng.normal(size=3)
        away = direction / np.linalg.norm(direction) * 10 ** rng.uniform(np.log10(0.2), np.log10(5.0))
        room.add_source(np.clip(microphone + away, 0.2, size - 0.2))
        room.add_microphone(microphone)
        room.compute_rir()
        response = room.rir[0][0]
        response = response[int(np.argmax(np.abs(response))) :][:ROOM_TAPS]
        responses[i, : len(response)] = response / np.sqrt(np.sum(np.square(response)))
    np.save(path, responses)
    return torch.from_numpy(responses)


def _coloured(samples: int, rng: np.random.Generator) -> Float32:
    """Noise whose power falls as 1 / f ** a (a from 0, white, to 2, brown), with a slowly changing level."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequency = np.maximum(np.fft.rfftfreq(samples), 20 / SAMPLE_RATE)
    noise = np.fft.irfft(spectrum * frequency ** (-rng.uniform(0, 2) / 2), samples)
    swell = np.interp(np.arange(samples), np.linspace(0, samples, 12), 10 ** (rng.uniform(-6, 6, 12) / 20))
    return np.asarray(noise * swell, np.float32)


def _music(samples: int, rng: np.random.Generator) -> Float32:
    """Chords of decaying harmonic notes: a spectrum like that of music, without copyright."""
    time = np.arange(samples) / SAMPLE_RATE
    music = np.zeros(samples)
    for onset in np.arange(0, time[-1], rng.uniform(0.15, 0.6)):
        after = np.maximum(time - onset, 0)
        for pitch in 55 * 2 ** (rng.integers(0, 48, rng.integers(1, 4)) / 12):
            decay = np.exp(-after * rng.uniform(1, 6)) * (time >= onset)
            for harmonic in range(1, min(12, int(7_500 / pitch))):
                music += decay * np.sin(2 * np.pi * harmonic * pitch * after) / harmonic ** rng.uniform(0.7, 2)
    return np.asarray(music, np.float32)


def _machine(samples: int, rng: np.random.Generator) -> Float32:
    """Mains or motor hum with harmonics, and clicks."""
    time = np.arange(samples) / SAMPLE_RATE
    base = rng.choice([50.0, 60.0, rng.uniform(30, 300)])
    hum = sum(rng.uniform(0, 1) / k * np.sin(2 * np.pi * k * base * time + rng.uniform(0, 6)) for k in range(1, 20))
    clicks = np.zeros(samples)
    clicks[rng.integers(0, samples, int(rng.uniform(0, 40) * samples / SAMPLE_RATE))] = rng.uniform(0, 20)
    return np.asarray(hum + np.convolve(clicks, np.exp(-np.arange(80) / 12), "same"), np.float32)


def noise_bank(recordings: list[Float32], path: Path, minutes: float = 30, seed: int = 2) -> Int16:
    """Recorded and synthetic noise in one int16 array, saved at `path`; half of it is recorded, if there are
    recordings."""
    if path.exists():
        done: Int16 = np.load(path)
        return done
    rng = np.random.default_rng(seed)
    pieces: list[Int16] = []
    total = 0
    makers = [_coloured, _coloured, _music, _machine]
    while total < minutes * 60 * SAMPLE_RATE:
        if recordings and len(pieces) % 2:
            chosen = rng.permutation(len(recordings))[:6]
            piece = np.concatenate([recordings[i] / (np.std(recordings[i]) + 1e-6) for i in chosen])
        else:
            piece = makers[rng.integers(len(makers))](6 * SAMPLE_RATE, rng)
        pieces.append(np.round(piece / (np.abs(piece).max() + 1e-6) * 32000).astype(np.int16))
        total += len(piece)
    bank = np.concatenate(pieces)
    np.save(path, bank)
    return bank


def equaliser_curves(count: int, bins: int, depth_db: float, rng: np.random.Generator) -> Tensor:
    """Smooth random gains (count, bins): points at a uniform random number of dB, joined by straight lines over log
    f."""
    points = rng.uniform(-depth_db, depth_db, (count, EQ_POINTS))
    place = np.log2(np.linspace(0, SAMPLE_RATE / 2, bins)[1:] / 62.5).clip(0, 7) * (EQ_POINTS - 1) / 7
    low = np.minimum(place.astype(int), EQ_POINTS - 2)
    curve = points[:, low] + (points[:, low + 1] - points[:, low]) * (place - low)
    return torch.from_numpy(10 ** (np.c_[curve[:, :1], curve] / 20)).float()


def band_pass(bins: int, low_hz: float, high_hz: float) -> Tensor:
    """Gains (bins,) of a band with edges of about 24 dB an octave (a Butterworth's magnitude of order 4)."""
    frequency = torch.linspace(0, SAMPLE_RATE / 2, bins).clamp_min(1.0)
    low = 1 / (1 + (low_hz / frequency) ** 8).sqrt() if low_hz else torch.ones(bins)
    return low / (1 + (frequency / high_hz) ** 8).sqrt()


def mu_law(waves: Tensor) -> Tensor:
    """Encode waves in [-1, 1] as 8-bit G.711 mu-law, and decode them."""
    mu = 255.0
    code = torch.round(waves.clamp(-1, 1).sign() * torch.log1p(mu * waves.abs().clamp(max=1)) / np.log1p(mu) * 127)
    return code.sign() * torch.expm1(code.abs() / 127 * np.log1p(mu)) / mu


def scaled(waves: Tensor, rms: Tensor | float) -> Tensor:
    """Waves (batch, samples) scaled to an RMS, a number or (batch, 1)."""
    return waves * (rms / waves.square().mean(1, keepdim=True).sqrt().clamp_min(QUIETEST))


@dataclass(frozen=True, slots=True)
class Augmenter:
    """Disturbs batches of clean speech.

    Shapes: rooms (rooms, ROOM_TAPS) float32; noise (samples,) int16.
    """

    rooms: Tensor
    noise: Int16
    chances: Chances

    def noises(self, count: int, samples: int, rng: np.random.Generator) -> Tensor:
        """Random pieces of the noise bank (count, samples)."""
        starts = rng.integers(0, len(self.noise) - samples, count)
        stretches = np.stack([self.noise[start : start + samples] for start in starts])
        return torch.from_numpy(stretches.astype(np.float32) / 32768)

    def __call__(self, clean: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Waves (batch, samples) -> (disturbed waves, which of them have background voices (batch,))."""
        chances, (count, samples) = self.chances, clean.shape

        def strike(chance: float) -> Tensor:
            return torch.from_numpy(rng.random(count) < chance)

        def pick(low: float, high: float) -> Tensor:
            return torch.from_numpy(rng.uniform(low, high, (count, 1))).float()

        size = next_fast_len(samples + ROOM_TAPS, real=True)
        bins = size // 2 + 1
        clean = scaled(clean, 0.05)

        noisy = strike(chances.noise)
        babble = noisy & strike(chances.babble)
        noise = self.noises(count, samples, rng)
        if babble.any():
            mixing = torch.from_numpy(rng.random((count, count)) * (rng.random((count, count)) < 5 / count)).float()
            mixing.fill_diagonal_(0.0)
            noise = torch.where(babble[:, None], (mixing @ clean).roll(samples // 3, dims=1), noise)
        snr = pick(*chances.snr_db)
        # With babble below 5 dB, it would be unclear which voice is the target.
        noise = scaled(noise, 0.05 * 10 ** (-torch.where(babble[:, None], snr.clamp_min(5.0), snr) / 20))
        noise = noise * noisy[:, None]

        spectrum = torch.fft.rfft(clean, size)
        in_room = strike(chances.room)
        if in_room.any():
            chosen = torch.from_numpy(rng.integers(0, len(self.rooms), int(in_room.sum())))
            spectrum[in_room] *= torch.fft.rfft(self.rooms[chosen], size)
        spectrum += torch.fft.rfft(noise, size)
        equalised, telephone, dull = (strike(c) for c in (chances.equaliser, chances.telephone, chances.low_pass))
        if equalised.any():
            spectrum[equalised] *= equaliser_curves(int(equalised.sum()), bins, chances.equaliser_db, rng)
        if telephone.any():
            spectrum[telephone] *= band_pass(bins, 300, 3_400)
        if dull.any():
            spectrum[dull] *= band_pass(bins, 0, rng.uniform(2_500, 7_000))
        waves = scaled(torch.fft.irfft(spectrum, size)[:, :samples], 0.05)

        if telephone.any():
            waves[telephone] = mu_law(waves[telephone])
        clipped = strike(chances.clipping)
        limit = pick(1.5, 5.0) * 0.05
        waves = torch.where(clipped[:, None], torch.minimum(torch.maximum(waves, -limit), limit), waves)
        quantised = strike(chances.quantised)
        steps = 32768 * 10 ** (pick(-55, -20) / 20) / 0.05  # int16 steps of a recording at -55 to -20 dBFS
        waves = torch.where(quantised[:, None], torch.round(waves * steps) / steps, waves)
        return waves, babble

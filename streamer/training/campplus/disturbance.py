"""Augmentation in batches on the device: rooms, channels, the low-pass of codecs, noise; and real codecs, on the CPU.

All voices of one row go through the same channel, as in a room.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from streamer.audio.chunks import SAMPLE_RATE
from streamer.evaluation.conditions import CHANNELS, parse_condition
from streamer.evaluation.manifest import read_audio, read_manifest

#: Probability of each disturbance.
ROOM, EQUALISER, CUT, TELEPHONE, NOISE = 0.35, 0.5, 0.45, 0.12, 0.6
#: Samples of a room's impulse response.
RESPONSE = 6_400


class Disturbance:
    """noise (samples,) float32: concatenated recordings of noise."""

    def __init__(self, noise: Tensor, generator: torch.Generator) -> None:
        self.noise = noise
        self.generator = generator

    @classmethod
    def of(cls, speech: Path, generator: torch.Generator) -> Disturbance:
        """The disturbance with the noise of a speech folder, on the generator's device."""
        noise = [read_audio(speech / row.path) for row in read_manifest(speech / "manifest.csv", "noise")]
        return cls(torch.from_numpy(np.concatenate(noise)).to(generator.device), generator)

    def __call__(self, waves: Tensor) -> Tensor:
        """Waves (batch, samples), or the voices of each, (batch, voices, samples), as they arrive: (batch, samples),
        at another level and within [-1, 1].

        Each voice has its place in one room. Voices get no babble in the background; single waves do.
        """
        alone = waves.dim() == 2
        telephone = self._chance(len(waves), TELEPHONE)
        heard = self._room(waves[:, None] if alone else waves).sum(1)
        waves = self._channel(heard, telephone)
        waves = waves + self._noise(waves, NOISE if alone else 2 * NOISE / 3)
        waves = waves / rms(waves)
        waves[telephone] = mu_law(waves[telephone] * 0.08) / 0.08
        loudness = 10 ** ((-20 + 26 * self._rand(len(waves), 1)) / 20)
        return (waves * 0.1 * loudness).clamp(-1, 1)

    def _rand(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator, device=self.noise.device)

    def _randn(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, device=self.noise.device)

    def _chance(self, rows: int, share: float) -> Tensor:
        return self._rand(rows) < share

    def _room(self, waves: Tensor) -> Tensor:
        """Convolve with noise that decays in 0.1 to 0.6 s, 12 dB below the direct sound to 2 dB above it; a different
        one for each voice of (batch, voices, samples)."""
        rows, voices, samples = waves.shape
        time = torch.arange(RESPONSE, device=waves.device) / SAMPLE_RATE
        decay = torch.exp(-6.9 * time / (0.1 + 0.5 * self._rand(rows, 1, 1)))
        response = self._randn(rows, voices, RESPONSE) * decay
        response[..., 0] = 0
        response = response / response.norm(dim=2, keepdim=True)
        response = response * 10 ** ((-12 + 14 * self._rand(rows, voices, 1)) / 20)
        response[..., 0] = 1
        size = 2**15 * math.ceil((samples + RESPONSE) / 2**15)
        wet = torch.fft.irfft(torch.fft.rfft(waves, size) * torch.fft.rfft(response, size), size)[..., :samples]
        return torch.where(self._chance(rows, ROOM)[:, None, None], wet, waves)

    def _channel(self, waves: Tensor, telephone: Tensor) -> Tensor:
        """Apply a tilt and a ripple of the response, a steep low-pass from 3.4 kHz on, or the band of a telephone."""
        rows, samples = waves.shape
        frequency = torch.fft.rfftfreq(samples, 1 / SAMPLE_RATE, device=waves.device)[None]
        octave = frequency.clamp(min=60).log2()
        tilt = (4 * self._randn(rows, 1) * (octave - math.log2(1000))).clamp(-24, 24)
        phase = octave * (0.2 + 0.6 * self._rand(rows, 1)) + self._rand(rows, 1)
        decibels = tilt + 6 * torch.cos(2 * math.pi * phase) * self._rand(rows, 1)
        gain = 10 ** (decibels * self._chance(rows, EQUALISER)[:, None] / 20)
        cut = 3400 + 4500 * self._rand(rows)
        cut = torch.where(self._chance(rows, CUT), cut, torch.full_like(cut, 9000.0))
        cut = torch.where(telephone, torch.full_like(cut, 3400.0), cut)[:, None]
        gain = gain * (
            torch.sigmoid((cut - frequency) / (10 + 100 * self._rand(rows, 1))) + 10 ** (-3 - 2 * self._rand(rows, 1))
        )
        gain = torch.where(telephone[:, None] & (frequency < 300), 0.05 * gain, gain)
        passed_on: Tensor = torch.fft.irfft(torch.fft.rfft(waves) * gain, samples)
        return passed_on

    def _noise(self, waves: Tensor, often: float) -> Tensor:
        """Add coloured noise, recorded noise, or, in the last third of NOISE, babble of four other rows of the batch; 4
        to 30 dB below the speech. Or add none."""
        rows, samples = waves.shape
        frequency = torch.fft.rfftfreq(samples, 1 / SAMPLE_RATE, device=waves.device).clamp(min=50)
        white = torch.fft.rfft(self._randn(rows, samples))
        coloured = torch.fft.irfft(white / frequency ** (1.2 * self._rand(rows, 1)), samples)
        first = (self._rand(rows) * (len(self.noise) - samples)).long()
        recorded = self.noise[(first[:, None] + torch.arange(samples, device=waves.device))]
        level = rms(waves)
        babble = torch.stack([(waves / level).roll(shift, 0) for shift in range(1, 5)]).sum(0)
        kind = self._rand(rows, 1)
        noise = torch.where(kind < NOISE / 3, coloured, torch.where(kind < 2 * NOISE / 3, recorded, babble))
        ratio = 10 ** (-(4 + 26 * self._rand(rows, 1)) / 20)
        return torch.where(kind < often, noise / rms(noise) * level * ratio, torch.zeros_like(waves))


def through_codecs(waves: Tensor, share: float, rng: np.random.Generator) -> Tensor:
    """Waves (batch, samples), a share of them through a codec, a telephone line or a resampler.

    Speech codecs leave traces that no filter has: AMR and GSM make one voice sound like two to a network that has
    never heard them.
    """
    rows = np.flatnonzero(rng.random(len(waves)) < share)
    names = rng.choice(CHANNELS, len(rows))
    with ThreadPoolExecutor() as pool:
        heard = pool.map(
            lambda wave, name, own: torch.from_numpy(parse_condition(str(name))(wave, own)),
            waves[rows].cpu().numpy(),
            names,
            rng.spawn(len(rows)),
        )
        for row, wave in zip(rows, heard, strict=True):
            waves[row] = wave
    return waves


def rms(waves: Tensor) -> Tensor:
    return waves.square().mean(1, keepdim=True).sqrt() + 1e-5


def mu_law(waves: Tensor) -> Tensor:
    """Encode as 8-bit mu-law, as a telephone line does (ITU-T G.711), and decode."""
    code = (torch.sign(waves) * torch.log1p(255 * waves.abs().clamp(max=1)) / math.log(256) * 127).round() / 127
    return torch.sign(code) * torch.expm1(code.abs() * math.log(256)) / 255

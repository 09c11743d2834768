"""SincNet: band-pass filters with learned cut-offs, then two small convolutions.

Ravanelli & Bengio (2018), "Speaker Recognition from Raw Waveform with SincNet", https://arxiv.org/abs/1808.00158,
with the quadrature pairs of Pariente et al. (2020), https://arxiv.org/abs/1910.10400. Names of modules and parameters
are those of pyannote.audio's SincNet, so that state dicts go both ways.
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamer.audio.chunks import SAMPLE_RATE
from streamer.models.architecture import (
    POOL,
    SINC_FILTERS,
    SINC_STRIDE,
    SINC_TAPS,
    SINCNET_CHANNELS,
    SINCNET_TAPS,
    Architecture,
)

MIN_LOW_HZ = 50.0
MIN_BAND_HZ = 50.0
#: Added to the power of a band before its log: 30 dB below what the quantisation of 16-bit audio leaves in a band.
POWER_FLOOR = 1e-12


class SincFilterbank(nn.Module):
    """Band-pass filters given by a low cut-off and a bandwidth each, as quadrature (cos, sin) pairs.

    Parameters `low_hz_` and `band_hz_` (filters / 2, 1), Hz, initialised along the mel scale.
    `filters()` is (filters, 1, taps) float32: the cos half (even), then the sin half (odd).
    """

    low_hz_: nn.Parameter
    band_hz_: nn.Parameter
    window_: Tensor
    n_: Tensor
    _filters: Tensor

    def __init__(self, filters: int = SINC_FILTERS, taps: int = SINC_TAPS) -> None:
        super().__init__()
        half = taps // 2
        edges_hz = _mel_spaced(30.0, SAMPLE_RATE / 2 - (MIN_LOW_HZ + MIN_BAND_HZ), filters // 2 + 1)
        self.low_hz_ = nn.Parameter(edges_hz[:-1].view(-1, 1))
        self.band_hz_ = nn.Parameter(edges_hz.diff().view(-1, 1))
        hamming = torch.hamming_window(taps, periodic=False, dtype=torch.float64)[:half]
        self.register_buffer("window_", hamming.float())
        self.register_buffer("n_", 2 * math.pi * torch.arange(-half, 0.0).view(1, -1) / SAMPLE_RATE)
        self.register_buffer("_filters", self._generate().detach(), persistent=False)
        self.register_load_state_dict_post_hook(lambda module, _: module.refresh())  # type: ignore[no-untyped-call]

    @property
    def learning(self) -> bool:
        return self.training and self.low_hz_.requires_grad

    def filters(self) -> Tensor:
        """The filters (filters, 1, taps): cached, and generated at each call only while the cut-offs are trained."""
        return self._generate() if self.learning else self._filters

    def refresh(self) -> None:
        """Generate the filters again, after a change of the cut-offs."""
        with torch.no_grad():
            self._filters = self._generate()

    def train(self, mode: bool = True) -> SincFilterbank:
        if self.learning and not mode:
            self.refresh()
        return super().train(mode)

    def _generate(self) -> Tensor:
        low = MIN_LOW_HZ + self.low_hz_.abs()
        high = torch.clamp(low + MIN_BAND_HZ + self.band_hz_.abs(), MIN_LOW_HZ, SAMPLE_RATE / 2)
        band = (high - low)[:, 0]
        low_phase, high_phase = low @ self.n_, high @ self.n_
        even = (high_phase.sin() - low_phase.sin()) / (self.n_ / 2) * self.window_
        odd = (low_phase.cos() - high_phase.cos()) / (self.n_ / 2) * self.window_
        cos = torch.cat([even, 2 * band.view(-1, 1), even.flip(1)], dim=1)
        sin = torch.cat([odd, torch.zeros_like(band.view(-1, 1)), -odd.flip(1)], dim=1)
        return torch.cat([cos / (2 * band[:, None]), sin / (2 * band[:, None])]).unsqueeze(1)


class SincConv(nn.Module):
    """The strided convolution with a sinc filterbank: (batch, 1, samples) -> (batch, filters, positions)."""

    def __init__(self) -> None:
        super().__init__()
        self.filterbank = SincFilterbank()

    def forward(self, waveforms: Tensor) -> Tensor:
        return F.conv1d(waveforms, self.filterbank.filters(), stride=SINC_STRIDE)


class LogPower(nn.Module):
    """Log power of each quadrature pair: (batch, filters, positions) -> (batch, filters / 2, positions // 3)."""

    def forward(self, outputs: Tensor) -> Tensor:
        cos, sin = outputs.chunk(2, dim=1)
        power = F.avg_pool1d(cos.square() + sin.square(), POOL)
        return (power + POWER_FLOOR).log()


class ZeroSumConv1d(nn.Conv1d):
    """A convolution whose kernels each sum to zero, so that a constant added to its input has no effect."""

    def kernel(self) -> Tensor:
        return self.weight - self.weight.mean(dim=(1, 2), keepdim=True)

    def forward(self, inputs: Tensor) -> Tensor:
        return F.conv1d(inputs, self.kernel(), self.bias)


class SincNet(nn.Module):
    """Waveform to frames: (batch, 1, samples) float32 at 16 kHz -> (batch, 60, frames), one each 270 samples."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.log_front = architecture.front == "log"
        norm = nn.InstanceNorm1d if architecture.norm == "instance" else nn.BatchNorm1d
        channels, taps = SINCNET_CHANNELS, SINCNET_TAPS

        def normalised(size: int) -> nn.Module:
            return norm(size, affine=True)

        first = ZeroSumConv1d(SINC_FILTERS // 2, channels, taps) if self.log_front else None
        self.wav_norm1d = nn.Identity() if self.log_front else normalised(1)
        self.conv1d = nn.ModuleList(
            [SincConv(), first or nn.Conv1d(SINC_FILTERS, channels, taps), nn.Conv1d(channels, channels, taps)]
        )
        self.pool1d = nn.ModuleList([LogPower() if self.log_front else nn.MaxPool1d(POOL), *_pools(2)])
        self.norm1d = nn.ModuleList(
            [nn.Identity() if self.log_front else normalised(SINC_FILTERS), normalised(channels), normalised(channels)]
        )

    @property
    def filterbank(self) -> SincFilterbank:
        return cast(SincConv, self.conv1d[0]).filterbank

    def forward(self, waveforms: Tensor) -> Tensor:
        with self._precise(waveforms):
            bands = self.first_stage(self.conv1d[0](self.wav_norm1d(waveforms)))
        return self.after_first_stage(bands)

    def after_first_stage(self, bands: Tensor) -> Tensor:
        """The layers after `first_stage`: (batch, 80 or 40, positions) -> (batch, 60, frames)."""
        with self._precise(bands):
            outputs = self.conv1d[1](bands)
        outputs = F.leaky_relu(self.norm1d[1](self.pool1d[1](outputs)))
        return F.leaky_relu(self.norm1d[2](self.pool1d[2](self.conv1d[2](outputs))))

    def _precise(self, inputs: Tensor) -> torch.autocast:
        # The log domain has a large common offset, which the zero-sum kernels cancel only in float32.
        return torch.autocast(inputs.device.type, enabled=not self.log_front and torch.is_autocast_enabled())

    def first_stage(self, filtered: Tensor) -> Tensor:
        """The layers after the sinc filters: (batch, 80, positions) -> (batch, 80 or 40, positions // 3)."""
        if self.log_front:
            return cast(Tensor, self.pool1d[0](filtered))
        return F.leaky_relu(self.norm1d[0](self.pool1d[0](filtered.abs())))


def _pools(count: int) -> list[nn.Module]:
    return [nn.MaxPool1d(POOL) for _ in range(count)]


def _mel_spaced(low_hz: float, high_hz: float, count: int) -> Tensor:
    def mel(hz: float) -> float:
        return 2595 * math.log10(1 + hz / 700)

    return 700 * (10 ** (torch.linspace(mel(low_hz), mel(high_hz), count) / 2595) - 1)

"""Kaldi's log mel filter bank, for batches: the input of most speaker networks.

Equal to `compute-fbank-feats` without dither and with whole frames only (`snip_edges`), as computed by
kaldi-native-fbank and torchaudio. https://kaldi-asr.org/doc/feat.html
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamer.audio.chunks import SAMPLE_RATE
from streamer.models.grid import FrameGrid

#: 25 ms each 10 ms.
GRID = FrameGrid(stride=160, receptive_field=400)
BANDS = 80
PREEMPHASIS = 0.97
FFT = 512
LOWEST_HZ = 20.0
#: The least energy of a band before the logarithm.
FLOOR = torch.finfo(torch.float32).eps


class KaldiFilterBank(nn.Module):
    """Waveforms (batch, 1, samples) or (batch, samples) at 16 kHz -> log energies (batch, frames, bands) float32.

    scale: what samples are multiplied by; Kaldi's own are 16-bit numbers, 32,768 times ours.
    subtract_mean: take off each band's mean over the frames, as most speaker networks want it.
    """

    window: Tensor
    mel: Tensor

    def __init__(self, bands: int = BANDS, *, scale: float = 1.0, subtract_mean: bool = True) -> None:
        super().__init__()
        self.scale = scale
        self.subtract_mean = subtract_mean
        # The device is given because networks are built on the meta device, and these tensors are in no checkpoint.
        hann = torch.hann_window(GRID.receptive_field, periodic=False, dtype=torch.float64, device="cpu")
        self.register_buffer("window", hann.pow(0.85).float(), persistent=False)  # Kaldi's "povey"
        self.register_buffer("mel", _triangles(bands), persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        samples = waveforms.reshape(len(waveforms), -1).float() * self.scale
        frames = samples.unfold(1, GRID.receptive_field, GRID.stride)
        frames = frames - frames.mean(2, keepdim=True)
        before = F.pad(frames, (1, 0), mode="replicate")[..., :-1]
        frames = (frames - PREEMPHASIS * before) * self.window
        spectrum = torch.fft.rfft(frames, FFT)
        power = spectrum.real.square() + spectrum.imag.square()  # abs() takes a root first, and five times as long
        bands = (power @ self.mel).clamp(min=FLOOR).log()
        if self.subtract_mean:
            bands = bands - bands.mean(1, keepdim=True)
        return cast(Tensor, bands)


def _triangles(bands: int) -> Tensor:
    """The weight of each frequency in each band, (frequencies, bands): triangles that are regular on the mel scale."""
    edges = _edges(bands)
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    places = [_mel(place * SAMPLE_RATE / FFT) for place in range(FFT // 2 + 1)]
    frequencies = torch.tensor(places, dtype=torch.float64, device="cpu")[:, None]
    rising, falling = (frequencies - low) / (middle - low), (high - frequencies) / (high - middle)
    triangles = torch.minimum(rising, falling).clamp(min=0)
    triangles[-1] = 0  # Kaldi leaves out the highest frequency.
    return triangles.float()


def bands_below(hertz: float, bands: int = BANDS) -> Tensor:
    """Which bands end at or below a frequency, (bands,): 1 or 0, float32."""
    return (_edges(bands)[2:] <= _mel(hertz) + 1e-9).float()


def _edges(bands: int) -> Tensor:
    """The corners (bands + 2,) of the triangles, in mel: band b rises from corner b to b + 1 and falls to b + 2."""
    return torch.linspace(_mel(LOWEST_HZ), _mel(SAMPLE_RATE / 2), bands + 2, dtype=torch.float64, device="cpu")


def _mel(hz: float) -> float:
    return 1127.0 * math.log1p(hz / 700.0)

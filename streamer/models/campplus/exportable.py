"""CAM++ for whole waveforms, by operations that a file for other runtimes can hold: the numbers of `CamPlusPlus`.

Nothing is written in place, nothing depends on how long the audio was when the network was traced, and running sums are
products with what fades. Convolutions of the past alone have silence on both sides, and what they give for the one
behind is cut off: in a file, padding by a convolution is a number, and any other is a dozen operations on shapes.

Shapes: maps (batch, channels, rows, bands); blocks (batch, channels, frames).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamer.models.campplus.architecture import FIRST_TAPS
from streamer.models.campplus.layers import Activation, DenseLayer, MapConvolution, MapResidual, Transition
from streamer.models.campplus.network import CamPlusPlus
from streamer.models.campplus.overlap import INNER, overlap_of
from streamer.models.campplus.surroundings import (
    BLOCK,
    FRAMES_EXPECTED,
    FRAMES_REMEMBERED,
    ROWS_EXPECTED,
    ROWS_REMEMBERED,
    SEGMENT,
    decay,
)
from streamer.models.fbank import FFT, FLOOR, GRID, PREEMPHASIS, KaldiFilterBank
from streamer.models.pooling import Moments

#: What has faded to exp(-25) is left out: float32 does not have it beside what is there.
FADED = 25.0


class Exportable(nn.Module):
    """Waveforms (batch, 1, samples) float32 at 16 kHz, in [-1, 1] -> embeddings (batch, dimension)."""

    def __init__(self, network: CamPlusPlus) -> None:
        super().__init__()
        self.network = network
        self.past = network.architecture.context == "past"
        self.bank = Bank(network.bank)
        self.of_rows = RunningSum(ROWS_REMEMBERED)
        self.of_frames = RunningSum(FRAMES_REMEMBERED)

    def forward(self, waveforms: Tensor) -> Tensor:
        waves = waveforms[:, 0]
        if not self.past:
            rows = self.bank(waves)
            block, _ = self._frames((rows - rows.mean(2, keepdim=True)) * self.network.layers.heard[:, None])
            return self._pooled(block, None)
        # A stream's very first row has nothing but silence before the stream, and a frame takes two rows.
        rows = self.bank(torch.cat([waves.new_zeros(waves.shape[0], GRID.stride), waves], 1))
        block, early = self._frames(self._normalised(rows[..., : rows.shape[2] // 2 * 2]))
        lag = self.network.lag
        overlap = self._overlap(early)[lag:] if self.network.architecture.overlap else None
        return self._pooled(block[..., lag:], overlap)

    def _normalised(self, rows: Tensor) -> Tensor:
        layers = self.network.layers
        total, (count, fading) = self.of_rows(rows), self.of_rows.counted(rows)
        level = ((total / count) * (layers.heard / layers.heard.sum())[:, None]).sum(1, keepdim=True)
        expected = ROWS_EXPECTED * fading
        mean = (total + expected * (layers.shape[:, None] + level)) / (count + expected)
        normalised: Tensor = (rows - mean) * layers.heard[:, None]
        return normalised

    def _frames(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised rows (batch, 80, rows) -> frames (batch, 512, frames), and what the first dense block gave."""
        layers = self.network.layers
        block = self._front(rows)
        counted = self.of_frames.counted(block)
        behind = []
        for dense, transition in zip(layers.blocks, layers.transitions, strict=True):
            assert isinstance(dense, nn.ModuleList) and isinstance(transition, Transition)
            for layer in dense:
                assert isinstance(layer, DenseLayer)
                block = torch.cat([block, self._dense(layer, block, counted)], 1)
            block = F.conv1d(_activated(transition.activation, block), transition.weight[..., None])
            behind.append(block)
        return _activated(layers.last, block), behind[0]

    def _front(self, rows: Tensor) -> Tensor:
        front = self.network.layers.front
        maps = self._map(front.first, rows.transpose(1, 2).unsqueeze(1)).relu()
        for residual in front.residuals:
            assert isinstance(residual, MapResidual)
            maps = self._residual(residual, maps)
        maps = self._map(front.last, maps).relu()
        seen, padding = maps.transpose(2, 3).flatten(1, 2), FIRST_TAPS - 2 if self.past else FIRST_TAPS // 2
        block = F.conv1d(seen, front.weight, front.bias, stride=2, padding=padding).relu()
        return block[..., :-1] if self.past else block

    def _residual(self, residual: MapResidual, maps: Tensor) -> Tensor:
        output = self._map(residual.second, self._map(residual.first, maps).relu())
        if self.past:
            # Of the past alone, two convolutions' output lies two rows behind.
            maps = torch.cat([torch.zeros_like(maps[:, :, :2]), maps[:, :, :-2]], 2)
        if residual.stride > 1:
            maps = F.conv2d(maps, residual.weight, residual.bias, stride=(1, residual.stride))
        return (output + maps).relu()

    def _map(self, convolution: MapConvolution, maps: Tensor) -> Tensor:
        sides = (2 if self.past else 1, 1)
        output = F.conv2d(maps, convolution.weight, convolution.bias, (1, convolution.stride), sides)
        return output[:, :, :-2] if self.past else output

    def _dense(self, layer: DenseLayer, block: Tensor, counted: tuple[Tensor, Tensor]) -> Tensor:
        inner = F.conv1d(_activated(layer.activation, block), layer.inner.weight[..., None], layer.inner.bias).relu()
        span = layer.dilation * (layer.taps.shape[2] - 1)
        padding = span if self.past else span // 2
        output = F.conv1d(inner, layer.taps, dilation=layer.dilation, padding=padding)
        if self.past:
            count, fading = counted
            expected = FRAMES_EXPECTED * fading
            mean = (self.of_frames(inner) + expected * layer.expected[:, None]) / (count + expected)
            return (output[..., :-span] if span else output) * _gate(layer, 2 * mean)
        # A gate stands for a segment of the window.
        gate = _gate(layer, _segments(inner) + inner.mean(2, keepdim=True))
        gates = gate[..., None].expand(-1, -1, -1, SEGMENT).flatten(2)
        return output * gates[..., : inner.shape[2]]

    def _overlap(self, early: Tensor) -> Tensor:
        """(frames, batch)."""
        head = self.network.overlap
        heard = head.inner(early.permute(2, 0, 1)).relu()
        heard, _ = head.memory(heard, heard.new_zeros(1, heard.shape[1], INNER))
        return overlap_of(head.count(heard))

    def _pooled(self, block: Tensor, overlap: Tensor | None) -> Tensor:
        frames = block.transpose(1, 2)
        weights = self.network.attention_of(block.permute(2, 0, 1), overlap)
        counting = torch.ones_like(frames[..., :1]) if weights is None else weights[..., None]
        embeddings: Tensor = self.network.embedding(
            torch.cat(Moments.of(frames, counting).statistics(self.network.epsilon), 1)
        )
        return embeddings


class Bank(nn.Module):
    """Waveforms (batch, samples) -> Kaldi's log energies (batch, bands, rows): the Fourier transform as a product."""

    waves: Tensor
    mel: Tensor
    places: Tensor

    def __init__(self, bank: KaldiFilterBank) -> None:
        super().__init__()
        self.scale = bank.scale
        samples, frequencies = torch.arange(GRID.receptive_field).double(), torch.arange(FFT // 2 + 1).double()
        angles = 2 * math.pi / FFT * samples[:, None] * frequencies
        waves = torch.cat([angles.cos(), angles.sin()], 1) * bank.window.double().cpu()[:, None]
        self.register_buffer("waves", waves.float())
        self.register_buffer("mel", torch.cat([bank.mel, bank.mel]))
        self.register_buffer("places", torch.arange(GRID.receptive_field))

    def forward(self, waves: Tensor) -> Tensor:
        rows = (waves.shape[1] - GRID.receptive_field) // GRID.stride + 1
        starts = torch.arange(rows, device=waves.device) * GRID.stride
        frames = (waves * self.scale)[:, starts[:, None] + self.places]
        frames = frames - frames.mean(2, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], 2)
        power = ((frames - PREEMPHASIS * before) @ self.waves).square()
        return (power @ self.mel).clamp(min=FLOOR).log().transpose(1, 2)


class RunningSum(nn.Module):
    """s_t = exp(-1 / remembered) * s_(t-1) + x_t of a block, from nothing on.

    One product within pieces of 50 positions, and a convolution over the pieces before.
    """

    kept: Tensor
    fading: Tensor
    pieces: Tensor

    def __init__(self, remembered: float) -> None:
        super().__init__()
        self.remembered = remembered
        kept, fading = decay(BLOCK, remembered, torch.device("cpu"))
        ago = torch.arange(math.ceil(FADED * remembered / BLOCK), dtype=torch.float64).flip(0)
        self.register_buffer("kept", kept.t().contiguous())
        self.register_buffer("fading", fading)
        self.register_buffer("pieces", torch.exp(-ago * BLOCK / remembered).float()[None, None])

    def forward(self, block: Tensor) -> Tensor:
        pieces = _pieces(block, BLOCK)
        own = pieces @ self.kept
        ends = own[..., -1]
        padding = self.pieces.shape[2]
        before = F.conv1d(ends.reshape(-1, 1, ends.shape[2]), self.pieces, padding=padding)[..., : -padding - 1]
        return (own + before.reshape(ends.shape)[..., None] * self.fading).flatten(2)[..., : block.shape[2]]

    def counted(self, block: Tensor) -> tuple[Tensor, Tensor]:
        """The sum of ones, and what is left at each position of what was before the first, (positions,) each."""
        time = torch.arange(block.shape[2], dtype=torch.float64, device=block.device)
        fading = torch.exp(-(time + 1) / self.remembered).float()
        return (1 - fading) / (1 - math.exp(-1 / self.remembered)), fading


def _activated(activation: Activation, block: Tensor) -> Tensor:
    return (block * activation.scale[:, None] + activation.shift[:, None]).relu()


def _gate(layer: DenseLayer, seen: Tensor) -> Tensor:
    squeezed = F.conv1d(seen, layer.squeeze.weight[..., None], layer.squeeze.bias).relu()
    return F.conv1d(squeezed, layer.excite.weight[..., None], layer.excite.bias).sigmoid()


def _segments(block: Tensor) -> Tensor:
    """The mean of each 100 frames, and of those that are left, (batch, channels, segments)."""
    return _pieces(block, SEGMENT).sum(3) / _pieces(torch.ones_like(block[:1, :1]), SEGMENT).sum(3)


def _pieces(block: Tensor, size: int) -> Tensor:
    """(batch, channels, pieces, size), with zeros where the last is not full."""
    batch, channels, length = block.shape
    padded = torch.cat([block, block.new_zeros(batch, channels, size - 1)], 2)
    pieces = (length + size - 1) // size
    return padded[..., : pieces * size].reshape(batch, channels, pieces, size)

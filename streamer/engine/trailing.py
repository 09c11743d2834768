"""`cached` mode for models with window norms: an approximation, to be asked for by name.

Each new block of frames is normalised by the statistics of the trailing audio, as long as the longest window, instead
of those of each window it will be part of. What is carried over keeps the norm it had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from streamer.engine.cached import CachedStepper, CachedStream
from streamer.engine.frames import RATES, Carry, FrameBlock, FrameLayers, rectified
from streamer.engine.instance import InstanceWeights, after_sinc
from streamer.engine.layers import Affine
from streamer.engine.settings import WindowSettings
from streamer.engine.state import Arrays
from streamer.models.architecture import FRAME_GRID
from streamer.models.model import Model
from streamer.models.pooling import Moments
from streamer.speech.detector import SpeechState


@dataclass(slots=True)
class TrailingStream(CachedStream):
    """A cached stream that remembers the statistics of its last blocks.

    history (blocks, size): by block, weight, mean and m2 of the input of each norm, one after the other; oldest first.
    """

    history: Tensor = field(default_factory=lambda: torch.zeros(0))

    def restart(self, sample: int) -> None:
        CachedStream.restart(self, sample)
        self.history = torch.zeros_like(self.history)

    def arrays(self) -> dict[str, np.ndarray]:
        return CachedStream.arrays(self) | {"history": self.history.cpu().numpy()}

    def restore(self, values: Mapping[str, Any], arrays: Arrays) -> None:
        CachedStream.restore(self, values, arrays)
        self.history = torch.from_numpy(arrays["history"]).to(self.history.device)


class TrailingStepper(CachedStepper):
    """Computes new frames under the statistics of the audio up to them."""

    def __init__(self, model: Model, layers: FrameLayers) -> None:
        super().__init__(model, layers, use_head=False)
        sincnet = model.network.sincnet
        self.wave_norm = InstanceWeights.of(sincnet.wav_norm1d)
        self.norms = [InstanceWeights.of(norm) for norm in sincnet.norm1d]
        self.sizes = [1 + 2 * len(norm.weight) for norm in (self.wave_norm, *self.norms)]

    def new(self, settings: WindowSettings, speech: SpeechState | None) -> TrailingStream:
        stream = TrailingStream.new(settings, self.layers, speech)
        assert isinstance(stream, TrailingStream)
        stream.history = torch.zeros(settings.counts[-1], sum(self.sizes), device=self.device)
        return stream

    def _frames(self, streams: Sequence[CachedStream], waves: Tensor, carry: Carry) -> FrameBlock:
        # `first` and `end` are the hops that count: neither zeros before a restart nor the padding behind.
        first = torch.tensor([max(0, stream.valid_from - stream.next_hop) for stream in streams], device=self.device)
        # The oldest block makes room for the present one. Shorter histories begin with blocks of nothing.
        histories = [stream.history[1:] for stream in streams if isinstance(stream, TrailingStream)]
        longest = max(map(len, histories))
        history = torch.stack([F.pad(rows, (0, 0, longest - len(rows), 0)) for rows in histories])
        trailing = TrailingStatistics(history, self.sizes, first, carry.hops)
        # The waveform is the input of hops of 270 samples of its own.
        wave = trailing.norm(self.wave_norm, FRAME_GRID.stride)
        hops = waves.shape[1] // FRAME_GRID.stride
        samples = waves[:, : hops * FRAME_GRID.stride].t().unsqueeze(2)
        filtered = after_sinc(wave.affine(samples), self.layers.sinc.filters, self.layers.sinc.filtered(waves))
        norms = [trailing.norm(norm, rate) for norm, rate in zip(self.norms, (RATES[0], RATES[1], 1), strict=True)]
        block = self.layers.tdnn(self.layers.front(rectified(filtered), carry, norms), carry)
        for stream, row in zip(streams, torch.cat(trailing.rows, dim=1), strict=True):
            if isinstance(stream, TrailingStream) and bool(row[0] > 0):
                stream.history = torch.cat([stream.history[1:], row[None]])
        return block


class TrailingStatistics:
    """Statistics of the inputs of all norms, over the blocks before and the present one.

    history (streams, blocks, size), of the blocks before. first, end (streams,): which hops of the present block count.
    """

    def __init__(self, history: Tensor, sizes: list[int], first: Tensor, end: Tensor) -> None:
        self.history = iter(_split(history, sizes))
        self.first = first
        self.end = end
        self.rows: list[Tensor] = []

    def norm(self, weights: InstanceWeights, rate: int) -> TrailingNorm:
        return TrailingNorm(self, weights, rate)

    def over(self, block: Tensor, rate: int) -> tuple[Tensor, Tensor]:
        """Mean and biased variance (streams, channels) with a block (time, streams, channels) of `rate` a hop."""
        hop = torch.arange(len(block), device=block.device)[:, None] // rate
        counts = ((hop >= self.first) & (hop < self.end)).float().t()
        present = Moments.of(block.transpose(0, 1), counts.unsqueeze(2))
        row = torch.cat([present.weight, present.mean, present.m2], dim=1)
        self.rows.append(row)
        rows = torch.cat([next(self.history), row[:, None]], dim=1)
        channels = block.shape[2]
        weight, mean, m2 = _split(rows, [1, channels, channels])
        total = Moments(weight, weight, mean, m2).merged()
        return total.mean, total.m2 / total.weight.clamp(min=1)


@dataclass(frozen=True, slots=True)
class TrailingNorm:
    """One InstanceNorm under trailing statistics."""

    statistics: TrailingStatistics
    weights: InstanceWeights
    rate: int

    def affine(self, block: Tensor) -> Affine:
        return self.weights.affine(*self.statistics.over(block, self.rate))

    def __call__(self, block: Tensor) -> Tensor:
        return self.affine(block)(block)


def _split(rows: Tensor, sizes: list[int]) -> tuple[Tensor, ...]:
    return torch.functional.split(rows, sizes, dim=2)

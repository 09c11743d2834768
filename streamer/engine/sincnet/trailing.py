"""`cached` mode for models with window norms: an approximation that must be requested explicitly.

Each new block of frames is normalised by the statistics of the trailing audio, as long as the longest window, instead
of those of each window that will contain the block. Positions in the carry keep the norm they were computed with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from streamer.engine.backbone import Batch, FrameBlock
from streamer.engine.layers import Affine
from streamer.engine.settings import WindowSettings
from streamer.engine.sincnet.cached import SincNetBackbone
from streamer.engine.sincnet.instance import InstanceWeights, after_sinc
from streamer.engine.sincnet.layers import SincNetFrameLayers, rectified
from streamer.models.pooling import Moments
from streamer.models.xvector import XVectorSincNet


class TrailingBackbone(SincNetBackbone):
    """Computes new frames with the statistics of the audio up to them.

    Besides the carry, a stream keeps its history (blocks, size), oldest block first: for each block, the weight, mean
    and m2 of the input of each norm, side by side.
    """

    def __init__(self, network: XVectorSincNet, layers: SincNetFrameLayers) -> None:
        super().__init__(layers)
        sincnet = network.sincnet
        self.wave_norm = InstanceWeights.of(sincnet.wav_norm1d)
        self.norms = [InstanceWeights.of(norm) for norm in sincnet.norm1d]
        self.sizes = [1 + 2 * len(norm.weight) for norm in (self.wave_norm, *self.norms)]

    def new_memory(self, settings: WindowSettings) -> Mapping[str, Tensor]:
        return {"history": torch.zeros(settings.counts[-1], sum(self.sizes), device=self.device)}

    def advance(self, waves: Tensor, batch: Batch) -> FrameBlock:
        layers, carry, stride = self.layers, batch.carry, self.hops.stride
        # The oldest block makes room for the current one. Shorter histories are padded with zeros at the start.
        longest = max(memory.kept["history"].shape[1] for memory in batch.memories) - 1
        history = waves.new_zeros(len(waves), longest, sum(self.sizes))
        for memory in batch.memories:
            rows = memory.kept["history"][:, 1:]
            history[:, longest - rows.shape[1] :].index_copy_(0, memory.places, rows)
        # Neither the silence before a stream began or restarted nor the padding at the end counts.
        trailing = TrailingStatistics(history, self.sizes, batch.first, carry.hops)
        # The input of the waveform's norm is the samples themselves, `stride` of them per hop.
        wave = trailing.norm(self.wave_norm, stride)
        hops = waves.shape[1] // stride
        samples = waves[:, : hops * stride].t().unsqueeze(2)
        filtered = after_sinc(wave.affine(samples), layers.sinc.filters, layers.sinc.filtered(waves))
        rates = (*layers.rates, 1)
        norms = [trailing.norm(norm, rate) for norm, rate in zip(self.norms, rates, strict=True)]
        seen = layers.normalised(rectified(filtered), carry, norms[0])
        block = layers.tdnn(layers.front(seen, carry, norms), carry)
        present = torch.cat(trailing.rows, dim=1)
        for memory in batch.memories:
            rows, row = memory.kept["history"], present.index_select(0, memory.places)[:, None]
            # A block without any hop that counts is not added.
            rows.copy_(torch.where(row[:, :, :1] > 0, torch.cat([rows[:, 1:], row], 1), rows))
        return block


class TrailingStatistics:
    """Statistics of the inputs of all norms, over the history and the current block.

    history (streams, blocks, size): see `TrailingBackbone`. sizes: the share of each norm in `size`. first, end
    (streams,): the range of hops of the current block that count.
    """

    def __init__(self, history: Tensor, sizes: list[int], first: Tensor, end: Tensor) -> None:
        self.history = iter(_split(history, sizes))
        self.first = first
        self.end = end
        self.rows: list[Tensor] = []

    def norm(self, weights: InstanceWeights, rate: int) -> TrailingNorm:
        return TrailingNorm(self, weights, rate)

    def over(self, block: Tensor, rate: int) -> tuple[Tensor, Tensor]:
        """Mean and biased variance (streams, channels) of the history and a block (time, streams, channels).

        rate: positions of the block per hop. Call once for each norm, in their order.
        """
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
    """One InstanceNorm with trailing statistics. rate: positions of its input per hop."""

    statistics: TrailingStatistics
    weights: InstanceWeights
    rate: int

    def affine(self, block: Tensor) -> Affine:
        return self.weights.affine(*self.statistics.over(block, self.rate))

    def __call__(self, block: Tensor) -> Tensor:
        return self.affine(block)(block)


def _split(rows: Tensor, sizes: list[int]) -> tuple[Tensor, ...]:
    return torch.functional.split(rows, sizes, dim=2)

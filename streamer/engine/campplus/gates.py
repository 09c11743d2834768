"""The gates of CAM++ with past context: running means, taps on the past, and the gated product.

On a CPU, two compiled passes over a layer's few channels compute them. Other devices use tensor operations, which give
the same numbers up to rounding, and keep the same state of a stream.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamer.compiled import compiled
from streamer.models.campplus.architecture import GROWTH
from streamer.models.campplus.surroundings import FRAMES_REMEMBERED, running_sum
from streamer.models.carry import Carry

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class GateWeights:
    """bias, expected (64,): the bias of a gate's hidden channels, and their mean in speech in general, before the bias.

    before: how many frames back the layer's tap on the past reads; 0 if there is no such tap.
    """

    bias: Tensor
    expected: Tensor
    before: int

    @property
    def carry_size(self) -> int:
        return len(self.bias) + self.before * GROWTH

    @property
    def local(self) -> int:
        """The number of tap channels, which precede the hidden ones."""
        return GROWTH * 2 if self.before else GROWTH


class Gates(Protocol):
    """The gates of one dense block and batch; called layer by layer, in order.

    mixed (frames * streams, local + 64): the outputs of a layer's taps, the older first, and of its gate's first linear
    layer.
    """

    def hidden(self, mixed: Tensor, gate: GateWeights) -> Tensor:
        """The gate's hidden channels (frames * streams, 64), after ReLU."""
        ...

    def write(self, mixed: Tensor, opened: Tensor, gate: GateWeights, channels: int) -> None:
        """Write the gated output after the block's first `channels`. opened (frames * streams, 32) in (0, 1)."""
        ...


def gates_of(grown: Tensor, weight: Tensor, expected: Tensor, carry: Carry, size: int, compiled: bool) -> Gates:
    """The gates for a block `grown` (frames, streams, channels), whose layers keep `size` values in all.

    weight, expected (frames, streams, 1): see `Past.frames_counted`. compiled: on a CPU, in compiled passes.
    """
    if compiled:
        return CompiledGates(grown, weight, expected, carry, size)
    return TensorGates(grown, weight, expected, carry)


class TensorGates:
    def __init__(self, grown: Tensor, weight: Tensor, expected: Tensor, carry: Carry) -> None:
        self.grown, self.weight, self.expected, self.carry = grown, weight, expected, carry
        self.frames, self.streams = grown.shape[:2]

    def hidden(self, mixed: Tensor, gate: GateWeights) -> Tensor:
        hidden = mixed[:, gate.local :].reshape(self.frames, self.streams, -1)
        sums = running_sum(hidden, self.carry.take(1, hidden.shape[2])[0], FRAMES_REMEMBERED)
        self.carry.keep_last(sums, 1)
        twice = torch.addcmul(sums, self.expected, gate.expected)
        return torch.addcmul(gate.bias, twice, self.weight).relu_().view(-1, hidden.shape[2])

    def write(self, mixed: Tensor, opened: Tensor, gate: GateWeights, channels: int) -> None:
        block = mixed.view(self.frames, self.streams, -1)
        local = block[..., gate.local - GROWTH : gate.local]
        if gate.before:
            local = local + self.carry.extend(block[..., :GROWTH], gate.before, 1)[: self.frames]
        torch.mul(local, opened.view(local.shape), out=self.grown[..., channels : channels + GROWTH])


class CompiledGates:
    def __init__(self, grown: Tensor, weight: Tensor, expected: Tensor, carry: Carry, size: int) -> None:
        self.frames, self.streams = grown.shape[:2]
        self.grown = grown.numpy()
        self.weight, self.expected = weight[..., 0].contiguous().numpy(), expected[..., 0].contiguous().numpy()
        self.hops = carry.hops.numpy()
        self.past = carry.take(1, size)[0].contiguous().numpy()
        # Filled layer by layer.
        kept = torch.empty(self.streams, size)
        carry.kept.append(kept)
        self.kept = kept.numpy()
        self.offset = 0

    def hidden(self, mixed: Tensor, gate: GateWeights) -> Tensor:
        hidden = mixed.new_empty(len(mixed), len(gate.bias))
        remembered = (self.past, self.kept, self.offset, self.hops)
        values = (self.weight, self.expected, gate.expected.numpy(), gate.bias.numpy())
        hidden_of_means(mixed.numpy(), gate.local, *remembered, *values, FADING, hidden.numpy())
        self.offset += len(gate.bias)
        return hidden

    def write(self, mixed: Tensor, opened: Tensor, gate: GateWeights, channels: int) -> None:
        remembered = (self.past, self.kept, self.offset, self.hops)
        let_through(mixed.numpy(), opened.numpy(), gate.before, *remembered, self.grown, channels)
        self.offset += gate.before * GROWTH


#: The factor by which a running sum decays per frame.
FADING = np.float32(math.exp(-1 / FRAMES_REMEMBERED))


@compiled
def hidden_of_means(
    mixed: Floats,
    local: int,
    past: Floats,
    kept: Floats,
    offset: int,
    hops: NDArray[np.int64],
    weight: Floats,
    counted: Floats,
    expected: Floats,
    bias: Floats,
    fading: np.float32,
    hidden: Floats,
) -> None:
    """relu(weight * (running sum + counted * expected) + bias). past, kept (streams, size), from `offset` on."""
    frames, streams = weight.shape
    width = len(bias)
    sums = past[:, offset : offset + width].copy()
    for frame in range(frames):
        for stream in range(streams):
            row = frame * streams + stream
            own, beside = weight[frame, stream], counted[frame, stream]
            for channel in range(width):
                total = fading * sums[stream, channel] + mixed[row, local + channel]
                sums[stream, channel] = total
                value = own * (total + beside * expected[channel]) + bias[channel]
                hidden[row, channel] = max(value, np.float32(0))
            if frame == hops[stream] - 1:
                for channel in range(width):
                    kept[stream, offset + channel] = sums[stream, channel]


@compiled
def let_through(
    mixed: Floats,
    opened: Floats,
    before: int,
    past: Floats,
    kept: Floats,
    offset: int,
    hops: NDArray[np.int64],
    grown: Floats,
    channels: int,
) -> None:
    """(this frame's tap + that of `before` frames ago) * opened, into `grown` from `channels` on."""
    frames, streams, _ = grown.shape
    for frame in range(frames):
        for stream in range(streams):
            row = frame * streams + stream
            if before == 0:
                for channel in range(GROWTH):
                    grown[frame, stream, channels + channel] = mixed[row, channel] * opened[row, channel]
            elif frame < before:
                begin = offset + frame * GROWTH
                for channel in range(GROWTH):
                    local = mixed[row, GROWTH + channel] + past[stream, begin + channel]
                    grown[frame, stream, channels + channel] = local * opened[row, channel]
            else:
                ago = row - before * streams
                for channel in range(GROWTH):
                    local = mixed[row, GROWTH + channel] + mixed[ago, channel]
                    grown[frame, stream, channels + channel] = local * opened[row, channel]
    for stream in range(streams):
        for place in range(before):
            frame, begin = hops[stream] - before + place, offset + place * GROWTH
            for channel in range(GROWTH):
                if frame >= 0:
                    kept[stream, begin + channel] = mixed[frame * streams + stream, channel]
                else:
                    kept[stream, begin + channel] = past[stream, offset + (frame + before) * GROWTH + channel]

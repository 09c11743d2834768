"""The layers of CAM++ of the past prepared for stepping: the numbers of `streamer.models.campplus.layers`, in fewer
passes over less memory.

- relu(s * x + b) is s * max(x, -b / s) + b where s > 0, and s * min(x, -b / s) + b where s < 0. Of a norm and its ReLU,
  one clamp by channel is left; the linear layer behind it takes the rest.
- What a gate sees is a mean, and what it makes of it first is linear: the mean is taken behind that, of half as many
  channels. All that sees a layer's inner channels is then one matrix, and a tap on the past is 32 channels, not 128.
- Maps are computed into memory that has room for the rows before them.

Blocks are (frames, streams, channels). Maps are (streams, rows, bands, channels), which torch calls channels last.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from streamer.engine.campplus.gates import GateWeights, gates_of
from streamer.models.campplus.architecture import FIRST_TAPS, GROWTH, MAPS
from streamer.models.campplus.layers import (
    Activation,
    DenseLayer,
    FrameLayers,
    FrontEnd,
    MapConvolution,
    MapResidual,
    Transition,
)
from streamer.models.campplus.surroundings import Past
from streamer.models.carry import Carry
from streamer.models.fbank import BANDS

#: Streams whose maps are computed at once on a CPU: those of more fall out of a core's second-level cache.
MAPS_AT_ONCE = 2
#: Rows of the past that a convolution of three taps needs.
ROWS_BEFORE = 2
#: An activation that would bend beyond this has one value, or none: its corner is no number of use.
FAR = 1e30


class PreparedLayers:
    """Rows of the filter bank (rows, streams, 80) -> frames (rows / 2, streams, 512), from where a carry stands."""

    def __init__(self, layers: FrameLayers) -> None:
        self.shape, self.heard = layers.shape, layers.heard
        self.front = Front(layers.front)
        self.blocks = [Dense(cast("Iterable[DenseLayer]", block)) for block in layers.blocks]
        self.transitions = [FoldedLinear.of_transition(cast(Transition, layer)) for layer in layers.transitions]
        self.last = layers.last
        #: Length of one stream's row in a Carry: the rows' mean and age, the frames' age, and what the layers keep.
        self.carry_size = BANDS + 2 + self.front.carry_size + sum(block.carry_size for block in self.blocks)

    def __call__(self, rows: Tensor, carry: Carry) -> Tensor:
        past = Past(carry)
        block = self.front(past.normalised(rows, self.shape, self.heard), carry)
        weight, expected = past.frames_counted(len(block))
        for dense, transition in zip(self.blocks, self.transitions, strict=True):
            block = transition(dense(block, weight, expected, carry))
        output: Tensor = self.last(block)
        return output


class Front:
    """Normalised rows (rows, streams, 80) -> frames (rows / 2, streams, 128)."""

    def __init__(self, front: FrontEnd) -> None:
        self.first = PreparedMap(front.first)
        self.residuals = [PreparedResidual(cast(MapResidual, residual)) for residual in front.residuals]
        self.last = PreparedMap(front.last)
        outputs, inputs, taps = front.weight.shape
        # The channels of a band stand together.
        by_band = front.weight.detach().view(outputs, MAPS, inputs // MAPS, taps).permute(0, 3, 2, 1)
        self.weight, self.bias = by_band.flatten(1).contiguous(), front.bias.detach()
        self.before = FIRST_TAPS - 2
        bands, self.maps_size = BANDS, ROWS_BEFORE * BANDS
        for residual in self.residuals:
            self.maps_size += ROWS_BEFORE * MAPS * (bands + bands // residual.first.stride)
            bands //= residual.first.stride
        self.maps_size += ROWS_BEFORE * MAPS * bands
        self.carry_size = self.maps_size + self.before * inputs

    def __call__(self, rows: Tensor, carry: Carry) -> Tensor:
        at_once = MAPS_AT_ONCE if rows.device.type == "cpu" else rows.shape[1]
        parts = carry.divided(self.maps_size, at_once)
        maps = [self._maps(some, part) for some, part in zip(torch.split(rows, at_once, 1), parts, strict=True)]
        carry.join(parts)
        block = torch.cat(maps, 1) if len(maps) > 1 else maps[0]
        seen = carry.extend(block, self.before, 2)
        taps = [seen[tap : tap + len(block) - 1 : 2] for tap in range(FIRST_TAPS)]
        return F.linear(torch.cat(taps, 2), self.weight, self.bias).relu_()

    def _maps(self, rows: Tensor, carry: Carry) -> Tensor:
        """(rows, streams, 80) -> (rows, streams, 10 * 32)."""
        around = room(carry, rows.shape[1], len(rows), BANDS, 1)
        around[:, ROWS_BEFORE:, :, 0] = rows.transpose(0, 1)
        around = rectified(self.first(kept(carry, around)), carry)
        for residual in self.residuals:
            around = residual(around, carry)
        return self.last(around).relu_().flatten(2).transpose(0, 1)


class PreparedMap:
    """A MapConvolution; its rows before are in the map that it is given."""

    def __init__(self, layer: MapConvolution) -> None:
        self.stride = layer.stride
        self.weight = layer.weight.detach().contiguous(memory_format=torch.channels_last)
        self.bias = layer.bias.detach()

    def __call__(self, around: Tensor) -> Tensor:
        image = around.permute(0, 3, 1, 2)
        output = F.conv2d(image, self.weight, self.bias, stride=(1, self.stride), padding=(0, 1))
        return output.permute(0, 2, 3, 1)


class PreparedResidual:
    """A MapResidual, from a map to the next with their rows before each."""

    def __init__(self, layer: MapResidual) -> None:
        self.first, self.second = PreparedMap(layer.first), PreparedMap(layer.second)
        if layer.stride > 1:
            self.weight, self.bias = layer.weight.detach().flatten(1), layer.bias.detach()

    def __call__(self, around: Tensor, carry: Carry) -> Tensor:
        # Two convolutions look ahead by two rows.
        shortcut = around[:, :-ROWS_BEFORE]
        if self.first.stride > 1:
            # As a convolution with a stride, or of views, it takes several times as long.
            shortcut = F.linear(shortcut[:, :, :: self.first.stride].contiguous(), self.weight, self.bias)
        inner = rectified(self.first(around), carry)
        return rectified(self.second(inner), carry, shortcut)


def room(carry: Carry, streams: int, rows: int, bands: int, channels: int) -> Tensor:
    """Memory for a map, behind its rows before, which are in it: (streams, 2 + rows, bands, channels)."""
    before = carry.take(ROWS_BEFORE, bands * channels).transpose(0, 1)
    around = before.new_empty(streams, ROWS_BEFORE + rows, bands, channels)
    around[:, :ROWS_BEFORE] = before.view(streams, ROWS_BEFORE, bands, channels)
    return around


def kept(carry: Carry, around: Tensor) -> Tensor:
    """The same map, of which the last rows are kept for the next step."""
    carry.keep(around.flatten(2).transpose(0, 1), ROWS_BEFORE, 2)
    return around


def rectified(maps: Tensor, carry: Carry, shortcut: Tensor | None = None) -> Tensor:
    """ReLU of a map (streams, rows, bands, channels), or of its sum with another, with the rows before."""
    around = room(carry, *maps.shape)
    if shortcut is None:
        torch.clamp_min(maps, 0, out=around[:, ROWS_BEFORE:])
    else:
        torch.add(maps, shortcut, out=around[:, ROWS_BEFORE:]).relu_()
    return kept(carry, around)


class FoldedLinear:
    """An activation and the linear layer behind it: (..., inputs) -> (..., outputs)."""

    def __init__(self, activation: Activation, weight: Tensor, bias: Tensor | None = None) -> None:
        scale, shift = activation.scale.detach().double(), activation.shift.detach().double()
        corner = -shift / scale
        bends = corner.abs() < FAR  # False for what is no number, too
        shift, scale = torch.where(bends, shift, shift.relu()), torch.where(bends, scale, 0.0)
        weight = weight.detach().double()
        constant = weight @ shift if bias is None else weight @ shift + bias.detach().double()
        self.weight, self.bias = (weight * scale).float(), constant.float()
        zero = torch.zeros_like(corner)
        self.low = torch.where(bends, torch.where(scale > 0, corner, -torch.inf), zero).float()
        self.high = torch.where(bends, torch.where(scale < 0, corner, torch.inf), zero).float()

    @classmethod
    def of_transition(cls, layer: Transition) -> FoldedLinear:
        return cls(layer.activation, layer.weight)

    def __call__(self, block: Tensor, clamped: Tensor | None = None) -> Tensor:
        """clamped: memory of the block's shape to work in."""
        return F.linear(torch.clamp(block, self.low, self.high, out=clamped), self.weight, self.bias)


class Dense:
    """A dense block: (frames, streams, channels) -> (frames, streams, channels + 32 a layer)."""

    def __init__(self, layers: Iterable[DenseLayer]) -> None:
        self.layers = [PreparedDense(layer) for layer in layers]
        self.carry_size = sum(layer.gate.carry_size for layer in self.layers)

    def __call__(self, block: Tensor, weight: Tensor, expected: Tensor, carry: Carry) -> Tensor:
        """weight, expected (frames, streams, 1): see `Past.frames_counted`."""
        frames, streams, channels = block.shape
        grown = block.new_empty(frames, streams, channels + GROWTH * len(self.layers))
        grown[..., :channels] = block
        rows, memory = grown.view(frames * streams, -1), torch.empty_like(grown).flatten()
        gates = gates_of(grown, weight, expected, carry, self.carry_size)
        for layer in self.layers:
            clamped = memory[: len(rows) * channels].view(-1, channels)
            mixed = F.linear(layer.inner(rows[:, :channels], clamped).relu_(), layer.mixing)
            hidden = gates.hidden(mixed, layer.gate)
            gate = F.linear(hidden, layer.excite, layer.excite_bias).sigmoid_()
            gates.write(mixed, gate, layer.gate, channels)
            channels += GROWTH
        return grown


class PreparedDense:
    """The matrices of one DenseLayer.

    mixing: what is made of the inner channels: the taps' outputs, the oldest first, and what the gate averages.
    """

    def __init__(self, layer: DenseLayer) -> None:
        taps, squeeze = layer.taps.detach(), layer.squeeze.weight.detach()
        self.inner = FoldedLinear(layer.activation, layer.inner.weight, layer.inner.bias)
        self.mixing = torch.cat([*taps.unbind(2), squeeze])
        self.gate = GateWeights(
            bias=layer.squeeze.bias.detach(),
            expected=squeeze @ layer.expected,
            before=layer.dilation * (taps.shape[2] - 1),
        )
        self.excite, self.excite_bias = layer.excite.weight.detach(), layer.excite.bias.detach()

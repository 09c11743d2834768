"""The layers of CAM++ of the past prepared for stepping: the numbers of `streamer.models.campplus.layers`, in fewer
passes over less memory.

- relu(s * x + b) is s * max(x, -b / s) + b where s > 0, and s * min(x, -b / s) + b where s < 0. Of a norm and its ReLU,
  one clamp by channel is left; the linear layer behind it takes the rest.
- What a gate sees is a mean, and what it makes of it first is linear: the mean is taken behind that, of half as many
  channels. All that sees a layer's inner channels is then one matrix, and a tap on the past is 32 channels, not 128.

Blocks are (frames, streams, channels).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from streamer.engine.campplus import winograd
from streamer.engine.campplus.gates import GateWeights, gates_of
from streamer.engine.campplus.maps import DirectMaps
from streamer.models.campplus.architecture import FIRST_TAPS, GROWTH, MAPS
from streamer.models.campplus.layers import (
    Activation,
    DenseLayer,
    FrameLayers,
    FrontEnd,
    Transition,
)
from streamer.models.campplus.surroundings import Past
from streamer.models.carry import Carry
from streamer.models.fbank import BANDS

#: Streams whose maps are computed at once on a CPU: those of more fall out of a core's second-level cache.
MAPS_AT_ONCE = 4
#: An activation that would bend beyond this has one value, or none: its corner is no number of use.
FAR = 1e30


class PreparedLayers:
    """Rows of the filter bank (rows, streams, 80) -> frames (rows / 2, streams, 512), and what the first dense block
    made of them, (rows / 2, streams, 256), from where a carry stands.

    compiled: whether what lies between products of matrices is done in compiled passes, and not by tensor operations;
        None for what the device is for.
    """

    def __init__(self, layers: FrameLayers, compiled: bool | None = None) -> None:
        if compiled is None:
            compiled = layers.heard.device.type == "cpu"
        self.shape, self.heard = layers.shape, layers.heard
        self.front = Front(layers.front, compiled)
        self.blocks = [Dense(cast("Iterable[DenseLayer]", block), compiled) for block in layers.blocks]
        self.transitions = [FoldedLinear.of_transition(cast(Transition, layer)) for layer in layers.transitions]
        self.last = layers.last
        #: Length of one stream's row in a Carry: the rows' mean and age, the frames' age, and what the layers keep.
        self.carry_size = BANDS + 2 + self.front.carry_size + sum(block.carry_size for block in self.blocks)

    def __call__(self, rows: Tensor, carry: Carry) -> tuple[Tensor, Tensor]:
        early, *_, block = self.behind(rows, carry, len(self.blocks))
        return self.last(block), early

    def behind(self, rows: Tensor, carry: Carry, blocks: int) -> list[Tensor]:
        """What the first so many dense blocks give, each at half of its channels."""
        past, found = Past(carry), []
        block = self.front(past.normalised(rows, self.shape, self.heard), carry)
        weight, expected = past.frames_counted(len(block))
        for dense, transition in list(zip(self.blocks, self.transitions, strict=True))[:blocks]:
            grown = dense(block, weight, expected, carry)
            block = transition(grown.flatten(0, 1)).view(*grown.shape[:2], -1)
            found.append(block)
        return found


class Front:
    """Normalised rows (rows, streams, 80) -> frames (rows / 2, streams, 128)."""

    def __init__(self, front: FrontEnd, compiled: bool) -> None:
        tiled = compiled and winograd.pays(front.weight.device)
        self.maps = winograd.TiledMaps(front) if tiled else DirectMaps(front)
        outputs, inputs, taps = front.weight.shape
        # The channels of a band stand together.
        by_band = front.weight.detach().view(outputs, MAPS, inputs // MAPS, taps).permute(0, 3, 2, 1)
        self.weight, self.bias = by_band.flatten(1).contiguous(), front.bias.detach()
        self.before = FIRST_TAPS - 2
        self.carry_size = self.maps.carry_size + self.before * inputs

    def __call__(self, rows: Tensor, carry: Carry) -> Tensor:
        at_once = MAPS_AT_ONCE if rows.device.type == "cpu" else rows.shape[1]
        parts = carry.divided(self.maps.carry_size, at_once)
        maps = [self.maps(some, part) for some, part in zip(torch.split(rows, at_once, 1), parts, strict=True)]
        carry.join(parts)
        block = torch.cat(maps, 1) if len(maps) > 1 else maps[0]
        seen = carry.extend(block, self.before, 2)
        taps = [seen[tap : tap + len(block) - 1 : 2] for tap in range(FIRST_TAPS)]
        return F.linear(torch.cat(taps, 2), self.weight, self.bias).relu_()


class FoldedLinear:
    """An activation and the linear layer behind it: (rows, inputs) -> (rows, outputs)."""

    def __init__(self, activation: Activation, weight: Tensor, bias: Tensor | None = None) -> None:
        # In float64, which not all devices have.
        device = weight.device
        scale, shift, weight = (
            tensor.detach().cpu().double() for tensor in (activation.scale, activation.shift, weight)
        )
        corner = -shift / scale
        bends = corner.abs() < FAR  # False for what is no number, too
        shift, scale = torch.where(bends, shift, shift.relu()), torch.where(bends, scale, 0.0)
        constant = weight @ shift if bias is None else weight @ shift + bias.detach().cpu().double()
        # By inputs: the product need not turn it round each time.
        self.weight, self.bias = (weight * scale).float().t().contiguous().to(device), constant.float().to(device)
        zero = torch.zeros_like(corner)
        self.low = torch.where(bends, torch.where(scale > 0, corner, -torch.inf), zero).float().to(device)
        self.high = torch.where(bends, torch.where(scale < 0, corner, torch.inf), zero).float().to(device)

    @classmethod
    def of_transition(cls, layer: Transition) -> FoldedLinear:
        return cls(layer.activation, layer.weight)

    def __call__(self, block: Tensor, clamped: Tensor | None = None) -> Tensor:
        """clamped: memory of the block's shape to work in."""
        return torch.addmm(self.bias, torch.clamp(block, self.low, self.high, out=clamped), self.weight)


class Dense:
    """A dense block: (frames, streams, channels) -> (frames, streams, channels + 32 a layer)."""

    def __init__(self, layers: Iterable[DenseLayer], compiled: bool) -> None:
        self.compiled = compiled
        self.layers = [PreparedDense(layer) for layer in layers]
        self.carry_size = sum(layer.gate.carry_size for layer in self.layers)

    def __call__(self, block: Tensor, weight: Tensor, expected: Tensor, carry: Carry) -> Tensor:
        """weight, expected (frames, streams, 1): see `Past.frames_counted`."""
        frames, streams, channels = block.shape
        grown = block.new_empty(frames, streams, channels + GROWTH * len(self.layers))
        grown[..., :channels] = block
        rows, memory = grown.view(frames * streams, -1), torch.empty_like(grown).flatten()
        gates = gates_of(grown, weight, expected, carry, self.carry_size, self.compiled)
        for layer in self.layers:
            clamped = memory[: len(rows) * channels].view(-1, channels)
            mixed = layer.inner(rows[:, :channels], clamped).relu_() @ layer.mixing
            hidden = gates.hidden(mixed, layer.gate)
            gate = torch.addmm(layer.excite_bias, hidden, layer.excite).sigmoid_()
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
        self.mixing = torch.cat([*taps.unbind(2), squeeze]).t().contiguous()
        self.gate = GateWeights(
            bias=layer.squeeze.bias.detach(),
            expected=squeeze @ layer.expected,
            before=layer.dilation * (taps.shape[2] - 1),
        )
        self.excite, self.excite_bias = layer.excite.weight.detach().t().contiguous(), layer.excite.bias.detach()

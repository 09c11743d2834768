"""The layers of CAM++ with past context, prepared for stepping: the results of `streamer.models.campplus.layers`, in
fewer passes over less memory.

- relu(s * x + b) is s * max(x, -b / s) + b if s > 0, and s * min(x, -b / s) + b if s < 0. A norm and its ReLU are
  therefore reduced to one clamp per channel; the linear layer after it absorbs the rest.
- A gate sees a mean, and its first operation is linear. So the mean is taken after that operation, of half as many
  channels. Everything that reads a layer's inner channels is then one matrix, and a tap on the past has 32 channels
  instead of 128.

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

#: The number of streams whose maps are computed at once on a CPU: more do not fit in a core's second-level cache.
MAPS_AT_ONCE = 4
#: An activation whose corner lies beyond this is treated as a constant.
FAR = 1e30


class PreparedLayers:
    """Rows of the filter bank (rows, streams, 80) -> frames (rows / 2, streams, 512), and the output of the first dense
    block, (rows / 2, streams, 256), starting from a carry.

    compiled: whether everything between matrix products runs as compiled passes, instead of tensor operations; None
        chooses by device.
    """

    def __init__(self, layers: FrameLayers, compiled: bool | None = None) -> None:
        if compiled is None:
            compiled = layers.heard.device.type == "cpu"
        self.shape, self.heard = layers.shape, layers.heard
        self.front = Front(layers.front, compiled)
        self.blocks = [Dense(cast("Iterable[DenseLayer]", block), compiled) for block in layers.blocks]
        self.transitions = [FoldedLinear.of_transition(cast(Transition, layer)) for layer in layers.transitions]
        self.last = layers.last
        #: Length of one stream's row in a Carry: the mean and age of the rows, the age of the frames, and the layers'
        #: state.
        self.carry_size = BANDS + 2 + self.front.carry_size + sum(block.carry_size for block in self.blocks)

    def __call__(self, rows: Tensor, carry: Carry) -> tuple[Tensor, Tensor]:
        early, *_, block = self.behind(rows, carry, len(self.blocks))
        return self.last(block), early

    def behind(self, rows: Tensor, carry: Carry, blocks: int) -> list[Tensor]:
        """The outputs of the first `blocks` dense blocks, each after its channels are halved."""
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
        # Put the channels of each band next to each other.
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
    """An activation and the linear layer after it: (rows, inputs) -> (rows, outputs)."""

    def __init__(self, activation: Activation, weight: Tensor, bias: Tensor | None = None) -> None:
        # Computed in float64, which not all devices support.
        device = weight.device
        scale, shift, weight = (
            tensor.detach().cpu().double() for tensor in (activation.scale, activation.shift, weight)
        )
        corner = -shift / scale
        bends = corner.abs() < FAR  # False for NaN, too
        shift, scale = torch.where(bends, shift, shift.relu()), torch.where(bends, scale, 0.0)
        constant = weight @ shift if bias is None else weight @ shift + bias.detach().cpu().double()
        # Stored by inputs, so that the product needs no transposition.
        self.weight, self.bias = (weight * scale).float().t().contiguous().to(device), constant.float().to(device)
        zero = torch.zeros_like(corner)
        self.low = torch.where(bends, torch.where(scale > 0, corner, -torch.inf), zero).float().to(device)
        self.high = torch.where(bends, torch.where(scale < 0, corner, torch.inf), zero).float().to(device)

    @classmethod
    def of_transition(cls, layer: Transition) -> FoldedLinear:
        return cls(layer.activation, layer.weight)

    def __call__(self, block: Tensor, clamped: Tensor | None = None) -> Tensor:
        """clamped: scratch memory of the block's shape."""
        return torch.addmm(self.bias, torch.clamp(block, self.low, self.high, out=clamped), self.weight)


class Dense:
    """A dense block: (frames, streams, channels) -> (frames, streams, channels + 32 per layer)."""

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

    mixing: maps the inner channels to the outputs of the taps, the oldest first, and to the input of the gate's mean.
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

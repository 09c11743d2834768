"""The streaming CAM++ in training: the layers of the network, with a custom backward pass for the dense blocks.

torch cannot differentiate a dense block that is written into one array, and a block that copies the outputs of all
earlier layers for each layer takes several times as long. Here the array is kept, and the backward pass computes each
layer's activation again, as in memory-efficient DenseNets (Pleiss et al., 2017, https://arxiv.org/abs/1707.06990).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamer.models.campplus.architecture import GROWTH, INNER
from streamer.models.campplus.layers import DenseLayer
from streamer.models.campplus.network import CamPlusPlus
from streamer.models.campplus.surroundings import (
    FRAMES_EXPECTED,
    FRAMES_REMEMBERED,
    Past,
    running_sum,
)
from streamer.models.carry import Carry

#: Parameters of a layer, in the order in which `DenseBlock` takes them.
PARAMETERS = 9


def student_frames(network: CamPlusPlus, rows: Tensor) -> Tensor:
    """Rows of the filter bank (batch, rows, 80), an even number -> frames (rows / 2 - lag, batch, 512).

    Equal to `CamPlusPlus.frames`, except for the one row before the beginning.
    """
    layers = network.layers
    hops = torch.full((len(rows),), rows.shape[1] // 2, device=rows.device)
    carry = Carry(network.new_carry()[None].repeat(len(rows), 1), hops, rows.shape[1] // 2)
    past = Past(carry)
    normalised = past.normalised(rows.transpose(0, 1), layers.shape, layers.heard)
    block = layers.front(normalised, past)
    for dense, transition in zip(layers.blocks, layers.transitions, strict=True):
        block = transition(dense_block(block.contiguous(), cast("Sequence[DenseLayer]", dense)))
    output: Tensor = layers.last(block)
    return output[network.lag :]


def dense_block(block: Tensor, layers: Sequence[DenseLayer]) -> Tensor:
    """Apply all layers of a dense block to (frames, batch, channels), with silence before the first frame."""
    parameters: list[Tensor] = []
    for layer in layers:
        activation, inner, squeeze, excite = layer.activation, layer.inner, layer.squeeze, layer.excite
        parameters += [activation.scale, activation.shift, inner.weight, inner.bias, layer.taps]
        parameters += [squeeze.weight, squeeze.bias, excite.weight, excite.bias]
    expected = [layer.expected for layer in layers]
    return cast(Tensor, DenseBlock.apply(block, layers[0].dilation, expected, *parameters))  # type: ignore[no-untyped-call]


class DenseBlock(torch.autograd.Function):
    """(frames, batch, channels) -> (frames, batch, channels + 32 a layer)."""

    @staticmethod
    def forward(ctx: Any, block: Tensor, dilation: int, expected: Sequence[Tensor], *parameters: Tensor) -> Tensor:
        frames, batch, channels = block.shape
        rows = frames * batch
        count = len(expected)
        grown = block.new_empty(frames, batch, channels + GROWTH * count)
        grown[..., :channels] = block
        weight = _weights(frames, block.device)
        kept = []
        for number in range(count):
            scale, shift, w, b, taps, w1, b1, w2, b2 = parameters[PARAMETERS * number :][:PARAMETERS]
            wide = channels + GROWTH * number
            active = torch.addcmul(shift, grown[..., :wide], scale).relu_().view(rows, wide)
            inner = torch.addmm(b, active, w.t()).relu_()
            begin = (FRAMES_EXPECTED * expected[number]).expand(batch, INNER)
            seen = (
                running_sum(inner.view(frames, batch, INNER), begin, FRAMES_REMEMBERED).mul_(weight).view(rows, INNER)
            )
            hidden = torch.addmm(b1, seen, w1.t()).relu_()
            gate = torch.addmm(b2, hidden, w2.t()).sigmoid_()
            local = inner @ taps[..., -1].t()
            if taps.shape[2] > 1:
                local[dilation * batch :].addmm_(inner[: -dilation * batch], taps[..., 0].t())
            grown[..., wide : wide + GROWTH] = (local * gate).view(frames, batch, GROWTH)
            kept.append((inner, seen, hidden, gate, local))
        ctx.grown, ctx.kept, ctx.parameters, ctx.dilation = grown, kept, parameters, dilation
        return grown.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        grown, dilation = ctx.grown, ctx.dilation
        frames, batch, _ = grown.shape
        rows, apart = frames * batch, dilation * batch
        weight = _weights(frames, grown.device)
        back = gradient.clone()
        found: list[Tensor | None] = [None] * len(ctx.parameters)
        for number in reversed(range(len(ctx.kept))):
            scale, shift, w, _, taps, w1, _, w2, _ = ctx.parameters[PARAMETERS * number :][:PARAMETERS]
            inner, seen, hidden, gate, local = ctx.kept[number]
            wide = grown.shape[2] - GROWTH * (len(ctx.kept) - number)
            output = back[..., wide : wide + GROWTH].reshape(rows, GROWTH)
            to_local, to_gate = output * gate, output * local * gate * (1 - gate)
            to_hidden = (to_gate @ w2) * (hidden > 0)
            # The gradient of a running sum is the same running sum, backwards in time.
            later = ((to_hidden @ w1).view(frames, batch, INNER) * weight).flip(0)
            nothing = later.new_zeros(batch, INNER)
            to_inner = running_sum(later, nothing, FRAMES_REMEMBERED).flip(0).view(rows, INNER)
            to_inner = to_inner.addmm_(to_local, taps[..., -1])
            to_taps = [to_local.t() @ inner]
            if taps.shape[2] > 1:
                to_taps.insert(0, to_local[apart:].t() @ inner[:-apart])
                to_inner[:-apart].addmm_(to_local[apart:], taps[..., 0])
            to_inner *= inner > 0
            before = grown[..., :wide]
            active = torch.addcmul(shift, before, scale).relu_()
            to_active = (to_inner @ w).view(frames, batch, wide)
            to_active *= active > 0
            back[..., :wide].addcmul_(to_active, scale)
            found[PARAMETERS * number : PARAMETERS * (number + 1)] = [
                (to_active * before).sum((0, 1)),
                to_active.sum((0, 1)),
                to_inner.t() @ active.view(rows, wide),
                to_inner.sum(0),
                torch.stack(to_taps, 2),
                to_hidden.t() @ seen,
                to_hidden.sum(0),
                to_gate.t() @ hidden,
                to_gate.sum(0),
            ]
        first = grown.shape[2] - GROWTH * len(ctx.kept)
        ctx.grown = ctx.kept = None
        return back[..., :first], None, None, *found


def _weights(frames: int, device: torch.device) -> Tensor:
    """Two divided by the weight of a stream's running sum after each frame, (frames, 1, 1)."""
    ones = torch.ones(frames, 1, 1, device=device)
    return 2 / running_sum(ones, torch.full((1, 1), FRAMES_EXPECTED, device=device), FRAMES_REMEMBERED)


def rows_of(network: CamPlusPlus, waves: Tensor) -> Tensor:
    """The filter bank's rows (batch, rows, 80) of waves (batch, samples): an even number, since a frame takes two."""
    rows: Tensor = network.bank(waves)
    return rows[:, : rows.shape[1] // 2 * 2]


@torch.no_grad()
def measure_expected(network: CamPlusPlus, voices: Tensor, rounds: int = 2) -> None:
    """Set the averages of speech, with which streams begin, from undisturbed voices (batch, samples).

    Training changes what the layers see of speech, so this is done before it and after it. A layer's averages depend on
    the layers before it, whose gates depend on their averages: two rounds are enough.
    """
    layers, rows = network.layers, rows_of(network, voices)
    mean = rows.mean(1)
    level = mean @ (layers.heard / layers.heard.sum())
    layers.shape.copy_((mean - level[:, None]).mean(0))
    for _ in range(rounds):
        handles = [
            layer.inner.register_forward_hook(_keeper(layer))
            for dense in layers.blocks
            for layer in cast("Sequence[DenseLayer]", dense)
        ]
        carry_hops = rows.shape[1] // 2
        hops = torch.full((len(rows),), carry_hops, device=rows.device)
        layers(rows.transpose(0, 1), Past(Carry(network.new_carry()[None].repeat(len(rows), 1), hops, carry_hops)))
        for handle in handles:
            handle.remove()


def _keeper(layer: DenseLayer) -> Any:
    def keep(_: nn.Module, __: Any, output: Tensor) -> None:
        layer.expected.copy_(F.relu(output).mean((0, 1)))

    return keep

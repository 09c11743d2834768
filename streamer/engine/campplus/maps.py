"""The convolutions over rows and bands at the start of CAM++, prepared for stepping.

Maps are (streams, rows, bands, channels), which torch calls channels last. They are written into memory that has room
for the preceding rows, so that prepending those rows needs no copy.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from streamer.models.campplus.architecture import MAPS
from streamer.models.campplus.layers import FrontEnd, MapConvolution, MapResidual
from streamer.models.carry import Carry
from streamer.models.fbank import BANDS

#: The number of past rows that a convolution of three taps needs.
ROWS_BEFORE = 2


class DirectMaps:
    """Normalised rows (rows, streams, 80), an even number -> the last map (rows, streams, 10 * 32)."""

    def __init__(self, front: FrontEnd) -> None:
        self.first = PreparedMap(front.first)
        self.residuals = [PreparedResidual(cast(MapResidual, residual)) for residual in front.residuals]
        self.last = PreparedMap(front.last)
        self.carry_size = carry_size(front)

    def __call__(self, rows: Tensor, carry: Carry) -> Tensor:
        around = first_map(rows, carry, self.first)
        for residual in self.residuals:
            around = residual(around, carry)
        return self.last(around).relu_().flatten(2).transpose(0, 1)


class PreparedMap:
    """A MapConvolution. The preceding rows are part of its input map."""

    def __init__(self, layer: MapConvolution) -> None:
        self.stride = layer.stride
        self.weight = layer.weight.detach().contiguous(memory_format=torch.channels_last)
        self.bias = layer.bias.detach()

    def __call__(self, around: Tensor) -> Tensor:
        image = around.permute(0, 3, 1, 2)
        output = F.conv2d(image, self.weight, self.bias, stride=(1, self.stride), padding=(0, 1))
        return output.permute(0, 2, 3, 1)


class PreparedResidual:
    """A MapResidual, from one map to the next, each with its preceding rows."""

    def __init__(self, layer: MapResidual) -> None:
        self.first, self.second = PreparedMap(layer.first), PreparedMap(layer.second)
        if layer.stride > 1:
            self.weight, self.bias = layer.weight.detach().flatten(1), layer.bias.detach()

    def __call__(self, around: Tensor, carry: Carry) -> Tensor:
        # Two convolutions look ahead by two rows.
        shortcut = around[:, :-ROWS_BEFORE]
        if self.first.stride > 1:
            # A strided convolution, or one of views, takes several times as long.
            shortcut = F.linear(shortcut[:, :, :: self.first.stride].contiguous(), self.weight, self.bias)
        inner = rectified(self.first(around), carry)
        return rectified(self.second(inner), carry, shortcut)


def room(carry: Carry, streams: int, rows: int, bands: int, channels: int) -> Tensor:
    """Memory for a map, with its preceding rows filled in: (streams, 2 + rows, bands, channels)."""
    before = carry.take(ROWS_BEFORE, bands * channels).transpose(0, 1)
    around = before.new_empty(streams, ROWS_BEFORE + rows, bands, channels)
    around[:, :ROWS_BEFORE] = before.view(streams, ROWS_BEFORE, bands, channels)
    return around


def kept(carry: Carry, around: Tensor) -> Tensor:
    """The same map; its last rows are kept for the next step."""
    carry.keep(around.flatten(2).transpose(0, 1), ROWS_BEFORE, 2)
    return around


def rectified(maps: Tensor, carry: Carry, shortcut: Tensor | None = None) -> Tensor:
    """ReLU of a map (streams, rows, bands, channels), or of its sum with a shortcut, with the preceding rows."""
    around = room(carry, *maps.shape)
    if shortcut is None:
        torch.clamp_min(maps, 0, out=around[:, ROWS_BEFORE:])
    else:
        torch.add(maps, shortcut, out=around[:, ROWS_BEFORE:]).relu_()
    return kept(carry, around)


def first_map(rows: Tensor, carry: Carry, first: PreparedMap) -> Tensor:
    """(rows, streams, 80) -> the first convolution's output with the preceding rows: (streams, 2 + rows, 80, 32)."""
    around = room(carry, rows.shape[1], len(rows), BANDS, 1)
    around[:, ROWS_BEFORE:, :, 0] = rows.transpose(0, 1)
    return rectified(first(kept(carry, around)), carry)


def carry_size(front: FrontEnd) -> int:
    """How many values the maps keep for one stream: the last input rows of each convolution."""
    bands, values = BANDS, BANDS
    for residual in front.residuals:
        after = bands // cast(MapResidual, residual).stride
        values += MAPS * (bands + after)
        bands = after
    return ROWS_BEFORE * (values + MAPS * bands)

"""Convolutions of three rows with half of the multiplications: four rows at once, by Winograd's F(4, 3).

A tile is six rows of a map, two preceding ones and four of its own, from which six sums are computed. Each sum is
convolved over the bands only, as one group of a convolution; six sums of the results give the next map's four rows.
Between two convolutions, both kinds of sum, the bias, a shortcut and the ReLU are one compiled pass.
Lavin & Gray (2016), https://arxiv.org/abs/1509.09308

Tiles are (streams, tiles, bands, 6, 32). The last one may extend past the rows; its extra values are never used.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from streamer.engine import onednn
from streamer.engine.campplus.maps import ROWS_BEFORE, carry_size
from streamer.engine.campplus.tiles import ROWS, SUMS, first_tiles, flat, next_tiles
from streamer.models.campplus.architecture import MAPS
from streamer.models.campplus.layers import FrontEnd, MapConvolution, MapResidual
from streamer.models.carry import Carry

#: The weight of each of a kernel's three rows in the kernel of each sum.
OF_KERNEL = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)


def pays(device: torch.device) -> bool:
    """Whether this is faster on a device: with oneDNN on AVX-512, where it was measured."""
    return onednn.available(device, torch.float32)


class TiledMaps:
    """The same as `DirectMaps`, up to rounding, and with the same carry."""

    def __init__(self, front: FrontEnd) -> None:
        # (3 rows, 3 bands, 32)
        self.weight = flat(front.first.weight.detach()[:, 0].permute(1, 2, 0).contiguous())
        self.bias = front.first.bias.detach().numpy()
        self.residuals = [TiledResidual(cast(MapResidual, residual)) for residual in front.residuals]
        self.last = TiledConvolution(front.last)
        #: For each residual's map, the stride of the bands that go into its shortcut.
        self.steps = [residual.stride for residual in self.residuals]
        self.carry_size = carry_size(front)

    def __call__(self, rows: Tensor, carry: Carry) -> Tensor:
        length = len(rows)
        around, tiles = self._first(rows, carry)
        for residual, step in zip(self.residuals, [*self.steps[1:], 0], strict=True):
            around, tiles = residual(around, tiles, length, carry, step)
        output, _ = self.last(tiles, length, None, None, 1)
        return output[:, ROWS_BEFORE:].flatten(2).transpose(0, 1)

    def _first(self, rows: Tensor, carry: Carry) -> tuple[Tensor, Tensor]:
        """The first convolution's output, (streams, 2 + rows, bands, 32), with strided bands, and its tiles."""
        length, streams, bands = rows.shape
        # Zero padding after the rows and on both sides.
        beyond = -length % ROWS
        heard = torch.zeros(streams, ROWS_BEFORE + length + beyond, bands + 2)
        heard[:, :ROWS_BEFORE, 1:-1] = carry.take(ROWS_BEFORE, bands).transpose(0, 1)
        heard[:, ROWS_BEFORE : ROWS_BEFORE + length, 1:-1] = rows.transpose(0, 1)
        carry.keep(heard[:, :, 1:-1].transpose(0, 1), ROWS_BEFORE, 2)
        before = carry.take(ROWS_BEFORE, bands * MAPS).transpose(0, 1).contiguous()
        last = torch.empty(streams, ROWS_BEFORE * bands * MAPS)
        carry.kept.append(last)
        around = torch.empty(streams, ROWS_BEFORE + length, bands // self.steps[0], MAPS)
        tiles = torch.empty(streams, (length + beyond) // ROWS, bands, SUMS, MAPS)
        first_tiles(
            flat(heard), self.weight, self.bias, flat(before), flat(around), self.steps[0], flat(tiles), flat(last),
            carry.hops.numpy(), streams, length, bands,
        )  # fmt: skip
        return around, tiles


class TiledResidual:
    """A MapResidual: from the shortcut's bands of a map and the map's tiles to the same for the next map."""

    def __init__(self, layer: MapResidual) -> None:
        self.first, self.second = TiledConvolution(layer.first), TiledConvolution(layer.second)
        self.stride = layer.stride
        if layer.stride > 1:
            self.weight, self.bias = layer.weight.detach().flatten(1), layer.bias.detach()

    def __call__(self, around: Tensor, tiles: Tensor, rows: int, carry: Carry, step: int) -> tuple[Tensor, Tensor]:
        shortcut = around if self.stride == 1 else F.linear(around, self.weight, self.bias)
        _, inner = self.first(tiles, rows, carry, None, 0)
        return self.second(inner, rows, carry, shortcut, step)


class TiledConvolution:
    """A MapConvolution and the ReLU after it, from tiles to the next map and tiles."""

    def __init__(self, layer: MapConvolution) -> None:
        kernels = torch.tensor(OF_KERNEL, dtype=torch.float64)
        sums = torch.einsum("sr,oirb->soib", kernels, layer.weight.detach().double())
        grouped = sums.reshape(SUMS * MAPS, MAPS, 1, 3).float()
        self.weight = grouped.contiguous(memory_format=torch.channels_last)
        self.bias = layer.bias.detach().numpy()
        self.stride = layer.stride

    def __call__(
        self, tiles: Tensor, rows: int, carry: Carry | None, shortcut: Tensor | None, step: int
    ) -> tuple[Tensor, Tensor]:
        """Every `step`-th band of the map with the preceding rows (none for 0), and its tiles if there is a carry.

        shortcut (streams, 2 + rows, bands, 32), added before the ReLU. It includes the preceding rows, since a row
        after two convolutions corresponds to the row two rows back.
        """
        sums = self._convolved(tiles)
        streams, _, bands = sums.shape[:3]
        nothing = sums.new_empty(0)
        before = following = last = nothing
        hops = np.ones(streams, np.int64)
        if carry is not None:
            before = carry.take(ROWS_BEFORE, bands * MAPS).transpose(0, 1).contiguous()
            following, last, hops = torch.empty_like(sums), torch.empty(streams, before[0].numel()), carry.hops.numpy()
            carry.kept.append(last)
        around = torch.empty(streams, ROWS_BEFORE + rows, bands // step, MAPS) if step else nothing
        next_tiles(
            flat(sums), self.bias, flat(nothing if shortcut is None else shortcut), flat(before), flat(around), step,
            flat(following), flat(last), hops, streams, rows, bands,
        )  # fmt: skip
        return around, following

    def _convolved(self, tiles: Tensor) -> Tensor:
        streams, count, bands = tiles.shape[:3]
        image = tiles.view(1, streams * count, bands, SUMS * MAPS).permute(0, 3, 1, 2)
        sums = F.conv2d(image, self.weight, None, stride=(1, self.stride), padding=(0, 1), groups=SUMS)
        return sums.permute(0, 2, 3, 1).reshape(streams, count, -1, SUMS, MAPS)

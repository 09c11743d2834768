"""The sinc filterbank over the samples of many streams, three neighbouring positions at a time, as they will be pooled.

The cos filters are even and the sin filters odd. On a CPU, where products dominate the time, each window of 251
samples is first folded on its centre c: a cos filter needs only x[c + k] + x[c - k], and a sin filter only
x[c + k] - x[c - k], so half the products are enough. The folded windows are four times as large as their samples; they
are computed and used a block at a time, while they are in the second-level cache.

On other devices products are cheap: the three positions are one product with the 271 samples that they see.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamer.compiled import compiled
from streamer.models.architecture import POOL, SINC_FILTERS, SINC_STRIDE, SINC_TAPS
from streamer.models.sincnet import POWER_FLOOR

#: Samples between positions after the sinc convolution and its pooling, and samples that one position sees.
POSITION_STRIDE = SINC_STRIDE * POOL
POSITION_FIELD = SINC_TAPS + SINC_STRIDE * (POOL - 1)
#: Length of a folded window, with its centre, and of the filters of one half.
FOLD = SINC_TAPS // 2 + 1
HALF = SINC_FILTERS // 2
#: Folded windows at a time, which take 1.5 MB.
BLOCK_WINDOWS = 1536

Floats = NDArray[np.float32]


class SincFilters:
    """filters (80, 251) float32: the cos half, then the sin half."""

    def __init__(self, filters: Tensor) -> None:
        self.filters = filters
        right = filters[:, FOLD - 1 :].clone()
        right[:, 0] /= 2  # the centre is folded onto itself
        self.cos, self.sin = right[:HALF].t().contiguous(), right[HALF:].t().contiguous()
        self.grouped = None if filters.device.type == "cpu" else grouped(filters)

    def filtered(self, waves: Tensor) -> Tensor:
        """The convolution of (streams, samples): (positions, streams, 3, 80)."""
        return torch.cat(list(self._blocks(waves)))

    def log_power(self, waves: Tensor) -> Tensor:
        """Log power of each quadrature pair, pooled: (streams, samples) -> (positions, streams, 40)."""
        if self.grouped is not None:
            return torch.cat([_power(block) for block in self._blocks(waves)]).log_()
        power, first = waves.new_empty(_positions(waves), len(waves), HALF), 0
        for products in self._blocks(waves):
            pool_power(products.numpy(), power[first : first + len(products)].numpy())
            first += len(products)
        return power.log_()

    def _blocks(self, waves: Tensor) -> Iterator[Tensor]:
        """The convolution, for some positions at a time."""
        positions = _positions(waves)
        if self.grouped is not None:
            yield _triples(waves, positions).mm(self.grouped).view(positions, len(waves), POOL, SINC_FILTERS)
            return
        longest = min(positions, max(1, BLOCK_WINDOWS // (len(waves) * POOL)))
        folded = torch.empty(longest, len(waves), POOL, 2 * FOLD)
        for first in range(0, positions, longest):
            block = folded[: positions - first]
            fold(waves.numpy(), first, block.numpy())
            rows = block.view(-1, 2 * FOLD)
            products = rows.new_empty(len(rows), SINC_FILTERS)
            torch.mm(rows[:, :FOLD], self.cos, out=products[:, :HALF])
            torch.mm(rows[:, FOLD:], self.sin, out=products[:, HALF:])
            yield products.view(*block.shape[:3], SINC_FILTERS)


@compiled
def fold(waves: Floats, first: int, folded: Floats) -> None:
    """Fold the windows of waves (streams, samples), from position `first` on, into (positions, streams, 3, 252): sums,
    then differences."""
    positions, streams = folded.shape[:2]
    for position in range(positions):
        for stream in range(streams):
            for place in range(POOL):
                start = (first + position) * POSITION_STRIDE + place * SINC_STRIDE
                window = waves[stream, start : start + SINC_TAPS]
                row = folded[position, stream, place]
                # An unsigned index needs no test for negative values, which would prevent vectorisation.
                for k in range(FOLD):
                    row[k] = window[np.uint64(FOLD - 1 + k)] + window[np.uint64(FOLD - 1 - k)]
                for k in range(FOLD):
                    row[FOLD + k] = window[np.uint64(FOLD - 1 + k)] - window[np.uint64(FOLD - 1 - k)]


@compiled
def pool_power(products: Floats, power: Floats) -> None:
    """The mean power of each pair: (positions, streams, 3, 80) to (positions, streams, 40)."""
    positions, streams = power.shape[:2]
    for position in range(positions):
        for stream in range(streams):
            for band in range(HALF):
                total = np.float32(0)
                for place in range(POOL):
                    row = products[position, stream, place]
                    total += row[band] * row[band] + row[HALF + band] * row[HALF + band]
                power[position, stream, band] = total / np.float32(POOL) + np.float32(POWER_FLOOR)


def _positions(waves: Tensor) -> int:
    return (waves.shape[1] - POSITION_FIELD) // POSITION_STRIDE + 1


def _power(products: Tensor) -> Tensor:
    # The three positions and the two halves of a pair are summed at once: their order in a row is (3, 2, 40).
    power = products.square_().view(*products.shape[:2], 2 * POOL, HALF).sum(dim=2)
    return power.div_(POOL).add_(POWER_FLOOR)


def _triples(waves: Tensor, positions: int) -> Tensor:
    """The samples that each three neighbouring positions see: (positions * streams, 271)."""
    strides = (POSITION_STRIDE * waves.stride(1), waves.stride(0), waves.stride(1))
    rows = waves.as_strided((positions, len(waves), POSITION_FIELD), strides, waves.storage_offset())
    return rows.reshape(-1, POSITION_FIELD)


def grouped(filters: Tensor) -> Tensor:
    """The matrix (271, 240) from the 271 samples to three neighbouring positions of all filters."""
    matrix = filters.new_zeros(POSITION_FIELD, POOL, SINC_FILTERS)
    for position in range(POOL):
        start = position * SINC_STRIDE
        matrix[start : start + SINC_TAPS, position] = filters.t()
    return matrix.view(POSITION_FIELD, -1).contiguous()

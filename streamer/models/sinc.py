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
#: Folded windows at a time; they and their products take a megabyte.
BLOCK_WINDOWS = 768

Floats = NDArray[np.float32]


class SincFilters:
    """filters (80, 251) float32: the cos half, then the sin half."""

    def __init__(self, filters: Tensor) -> None:
        self.filters = filters
        right = filters[:, FOLD - 1 :].clone()
        right[:, 0] /= 2  # the centre is folded onto itself
        self.halves = right.view(2, HALF, FOLD).transpose(1, 2).contiguous()
        self.grouped = None if filters.device.type == "cpu" else grouped(filters)

    def filtered(self, waves: Tensor) -> Tensor:
        """The convolution of (streams, samples): (positions, streams, 3, 80)."""
        rows = torch.cat([products.transpose(0, 1) for products in self._blocks(waves)])
        return rows.view(-1, len(waves), POOL, SINC_FILTERS)

    def log_power(self, waves: Tensor, out: Tensor | None = None) -> Tensor:
        """Log power of each quadrature pair, pooled: (streams, samples) -> (positions, streams, 40). out: memory for
        it."""
        power = waves.new_empty(positions(waves), len(waves), HALF) if out is None else out
        if self.grouped is not None:
            (products,) = self._blocks(waves)
            pool_power_on_device(products, power)
            return power.log_()
        rows, first = power.numpy().reshape(-1, HALF), 0
        for products in self._blocks(waves):
            last = first + products.shape[1] // POOL
            pool_power(products.numpy(), rows[first:last])
            first = last
        return power.log_()

    def _blocks(self, waves: Tensor) -> Iterator[Tensor]:
        """The convolution, for some positions at a time: (2, positions * streams * 3, 40), first the cos filters', then
        the sin filters'."""
        count, streams = positions(waves), len(waves)
        if self.grouped is not None:
            yield _triples(waves, count).mm(self.grouped).view(-1, 2, HALF).transpose(0, 1)
            return
        longest = min(count, max(1, BLOCK_WINDOWS // (streams * POOL)))
        samples, folded = waves.numpy(), torch.empty(longest * streams * POOL, 2, FOLD)
        windows, rows = folded.numpy().reshape(longest, streams, POOL, 2, FOLD), folded.transpose(0, 1)
        for first in range(0, count, longest):
            some = min(longest, count - first)
            fold(samples, first, windows[:some])
            yield torch.bmm(rows[:, : some * streams * POOL], self.halves)


@compiled
def fold(waves: Floats, first: int, folded: Floats) -> None:
    """Fold the windows of waves (streams, samples), from position `first` on, into (positions, streams, 3, 2, 126):
    sums, then differences."""
    positions, streams = folded.shape[:2]
    for position in range(positions):
        for stream in range(streams):
            for place in range(POOL):
                start = (first + position) * POSITION_STRIDE + place * SINC_STRIDE
                window = waves[stream, start : start + SINC_TAPS]
                # An unsigned index needs no test for negative values, which would prevent vectorisation.
                sums = folded[position, stream, place, 0]
                for k in range(FOLD):
                    sums[k] = window[np.uint64(FOLD - 1 + k)] + window[np.uint64(FOLD - 1 - k)]
                differences = folded[position, stream, place, 1]
                for k in range(FOLD):
                    differences[k] = window[np.uint64(FOLD - 1 + k)] - window[np.uint64(FOLD - 1 - k)]


@compiled
def pool_power(products: Floats, power: Floats) -> None:
    """The mean power of each pair: (2, n * 3, 40) to (n, 40)."""
    for row in range(len(power)):
        for band in range(HALF):
            total = np.float32(0)
            for place in range(POOL):
                cos, sin = products[0, row * POOL + place, band], products[1, row * POOL + place, band]
                total += cos * cos + sin * sin
            power[row, band] = total / np.float32(POOL) + np.float32(POWER_FLOOR)


def pool_power_on_device(products: Tensor, power: Tensor) -> None:
    """The same as tensor operations, to (positions, streams, 40)."""
    torch.sum(products.square_().view(2, *power.shape[:2], POOL, HALF), dim=(0, 3), out=power)
    power.div_(POOL).add_(POWER_FLOOR)


def positions(waves: Tensor) -> int:
    """How many positions samples (streams, samples) have, after the sinc convolution and its pooling."""
    return (waves.shape[1] - POSITION_FIELD) // POSITION_STRIDE + 1


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

"""The carries of all streams' layers, as the rows of one array.

On a CPU, a layer's past is read and written in place, by one compiled pass each. On any other device, the rows of a
batch are gathered first and put back last, which takes fewer operations.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamer.compiled import compiled
from streamer.models.carry import Carry

Integers = NDArray[np.int64]


class StoredCarry(Carry):
    """The past of the streams in `slots` (streams,) int64, whose rows are in `stored` (capacity, size) float32.

    compiled: on a CPU, layers that use `room` or `extend` read and write their past by compiled passes, until the first
    layer that uses `take`. From there on, rows are gathered first and put back last.
    """

    def __init__(self, stored: Tensor, slots: Tensor, hops: Tensor, common: int | None, compiled: bool) -> None:
        super().__init__(stored[:0], hops, common)
        self.stored, self.slots = stored, slots
        self._in_place, self._gathered = compiled, False
        #: The first column that has to be put back.
        self._first = 0
        if compiled:
            self._of_streams = (slots.numpy(), hops.numpy())
            self._stored = stored.numpy()

    def extend(self, block: Tensor, context: int, rate: int) -> Tensor:
        if not self._in_place or context == 0:
            return super().extend(block, context, rate)
        extended = self.room(block, block.shape[0], block.shape[2], context)
        extended[context:] = block
        self.remember(extended, context, rate)
        return extended

    def room(self, like: Tensor, time: int, channels: int, context: int) -> Tensor:
        if not self._in_place:
            return super().room(like, time, channels, context)
        extended = like.new_empty(context + time, like.shape[1], channels)
        self._arrays = self._of_one_type(extended)
        take_past(*self._arrays, *self._of_streams, self.offset, context)
        return extended

    def remember(self, extended: Tensor, context: int, rate: int) -> None:
        if not self._in_place:
            super().remember(extended, context, rate)
            return
        keep_past(*self._arrays, *self._of_streams, self.offset, context, rate)
        self.offset += context * extended.shape[2]
        self._first = self.offset

    def take(self, context: int, channels: int) -> Tensor:
        self._gather()
        return super().take(context, channels)

    def divided(self, size: int, at_once: int) -> list[Carry]:
        self._gather()
        return super().divided(size, at_once)

    def put_back(self) -> None:
        """Store what layers kept, except what was stored in place."""
        if self.kept:
            rows = torch.cat(self.kept, dim=1).to(self.stored.dtype)
            self.stored[:, self._first :].index_copy_(0, self.slots, rows)

    def _of_one_type(self, extended: Tensor) -> tuple[NDArray[Any], NDArray[Any]]:
        """The rows of all streams and the extended block, as arrays of one type."""
        if extended.dtype == torch.float32:
            return self._stored, extended.numpy()
        # A bfloat16 is the upper half of a float32, and numpy has no such type: both are read as int16. The lower half
        # stays zero.
        return self._stored.view(np.int16)[:, 1::2], extended.view(torch.int16).numpy()

    def _gather(self) -> None:
        if not self._gathered:
            self.rows = self.stored.index_select(0, self.slots)
            self._in_place, self._gathered = False, True


@compiled
def take_past(
    stored: NDArray[Any], extended: NDArray[Any], slots: Integers, hops: Integers, offset: int, context: int
) -> None:
    streams, channels = extended.shape[1:]
    for place in range(context):
        for stream in range(streams):
            row, past = stored[slots[stream]], extended[place, stream]
            begin = offset + place * channels
            for channel in range(channels):
                past[channel] = row[begin + channel]


@compiled
def keep_past(
    stored: NDArray[Any],
    extended: NDArray[Any],
    slots: Integers,
    hops: Integers,
    offset: int,
    context: int,
    rate: int,
) -> None:
    streams, channels = extended.shape[1:]
    for place in range(context):
        for stream in range(streams):
            row, last = stored[slots[stream]], extended[hops[stream] * rate + place, stream]
            begin = offset + place * channels
            for channel in range(channels):
                row[begin + channel] = last[channel]

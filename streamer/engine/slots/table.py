"""Slots: a row for each stream in arrays that all streams share, on the device or on the host.

A stream takes a slot at its first step, and the slot is given back when the stream is gone. The arrays double when all
slots are taken, and are freed when none is. A slot is reset when it is taken, so that nothing of the previous stream
remains. After moshi's `modules/streaming.py`, whose slots are a batch of fixed size:
https://github.com/kyutai-labs/moshi
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamer.engine.layers import to_device

Numbers = NDArray[np.int64]
#: One stream's row of each array, by name.
StreamRow = Mapping[str, NDArray[Any]]


class Slots:
    """Named arrays with a row for each stream.

    device: for each array on the device, the row of a new stream, a tensor. host: the same for numpy arrays.
    Only the stepping thread takes, gives back and writes slots. A row may be read on another thread while its stream is
    not being stepped: if the arrays grow meanwhile, the old arrays still hold the row.
    """

    def __init__(self, device: Mapping[str, Tensor], host: Mapping[str, NDArray[Any]]) -> None:
        self.begun = dict(device)
        self.begun_on_host = dict(host)
        self._free: list[int] = []
        self.capacity = 0
        self._device: dict[str, Tensor] = {}
        self._host: dict[str, NDArray[Any]] = {}
        self._drop()

    def __getitem__(self, name: str) -> Tensor:
        """The array of this name on the device, (capacity, ...)."""
        return self._device[name]

    def on_host(self, name: str) -> NDArray[Any]:
        """The array of this name on the host, (capacity, ...)."""
        return self._host[name]

    @property
    def taken(self) -> int:
        return self.capacity - len(self._free)

    @property
    def row_bytes(self) -> int:
        """The memory of one stream's row, on the device and on the host together."""
        device = sum(row.numel() * row.element_size() for row in self.begun.values())
        return device + sum(row.nbytes for row in self.begun_on_host.values())

    def take(self, count: int) -> Numbers:
        """Take `count` slots, reset for new streams. Returns their numbers (count,)."""
        if count > len(self._free):
            self._grow(self.taken + count)
        numbers = np.array([self._free.pop() for _ in range(count)], np.int64)
        self.reset(numbers)
        return numbers

    def give_back(self, number: int) -> None:
        self._free.append(number)
        if self.taken == 0:
            self._drop()

    def reset(self, numbers: Numbers, names: tuple[str, ...] | None = None) -> None:
        """Reset rows to those of a new stream. names: only these arrays on the device; None for all arrays."""
        device = None
        for name, row in self.begun.items():
            if names is None or name in names:
                device = to_device(numbers, row.device) if device is None else device
                self._device[name].index_copy_(0, device, row.expand(len(numbers), *row.shape))
        if names is None:
            for name, begun in self.begun_on_host.items():
                self._host[name][numbers] = begun

    def read(self, number: int, device: bool = True) -> dict[str, NDArray[Any]]:
        """A copy of one row, by name. device: whether to include the arrays on the device."""
        row = {name: array[number].cpu().numpy().copy() for name, array in self._device.items() if device}
        return row | {name: array[number].copy() for name, array in self._host.items()}

    def write(self, number: int, row: StreamRow) -> None:
        """Put back a row from `read`."""
        for name, array in self._device.items():
            array[number].copy_(torch.from_numpy(np.ascontiguousarray(row[name])))
        for name, kept in self._host.items():
            kept[number] = row[name]

    def fresh(self) -> dict[str, NDArray[Any]]:
        """The row of a new stream, as `read` returns it."""
        row = {name: begun.cpu().numpy().copy() for name, begun in self.begun.items()}
        return row | {name: begun.copy() for name, begun in self.begun_on_host.items()}

    def _grow(self, need: int) -> None:
        capacity = max(1, self.capacity)
        while capacity < need:
            capacity *= 2
        device, host = {}, {}
        for name, row in self.begun.items():
            device[name] = row.new_empty(capacity, *row.shape)
            device[name][: self.capacity] = self._device[name]
        for name, begun in self.begun_on_host.items():
            host[name] = np.zeros((capacity, *begun.shape), begun.dtype)
            host[name][: self.capacity] = self._host[name]
        # Another thread that is reading a row still has the old arrays.
        self._device, self._host = device, host
        # `take` pops from the end: low numbers first.
        self._free = list(range(capacity - 1, self.capacity - 1, -1)) + self._free
        self.capacity = capacity

    def _drop(self) -> None:
        self._free, self.capacity = [], 0
        self._device = {name: row.new_empty(0, *row.shape) for name, row in self.begun.items()}
        self._host = {name: np.zeros((0, *row.shape), row.dtype) for name, row in self.begun_on_host.items()}

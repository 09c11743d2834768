"""Slots: a row for each stream in arrays that all streams share, on the device or on the host.

A number is taken when a stream comes and given back when it goes; the arrays double when all rows are taken, and are
dropped when none is. Rows are reset when they are taken, so that nothing of who had them before is left. After
moshi's `modules/streaming.py`, whose slots are a batch of fixed size: https://github.com/kyutai-labs/moshi
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
#: One stream's, by name.
StreamRow = Mapping[str, NDArray[Any]]


class Slots:
    """device (name -> one stream's row as it begins, a tensor) and host (the same, as numpy arrays).

    Only the thread that steps the streams takes, gives back and writes. A row may be read on another thread while its
    own stream is not being stepped: where the arrays grow meanwhile, the old ones still have it.
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
        """(capacity, ...) on the device."""
        return self._device[name]

    def on_host(self, name: str) -> NDArray[Any]:
        """(capacity, ...)."""
        return self._host[name]

    @property
    def taken(self) -> int:
        return self.capacity - len(self._free)

    @property
    def row_bytes(self) -> int:
        """Memory of one stream's row, on the device and on the host."""
        device = sum(row.numel() * row.element_size() for row in self.begun.values())
        return device + sum(row.nbytes for row in self.begun_on_host.values())

    def take(self, count: int) -> Numbers:
        """So many rows, as a stream begins."""
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
        """Make rows what they are when a stream begins: all of them, or these of the device's."""
        device = None
        for name, row in self.begun.items():
            if names is None or name in names:
                device = to_device(numbers, row.device) if device is None else device
                self._device[name].index_copy_(0, device, row.expand(len(numbers), *row.shape))
        if names is None:
            for name, begun in self.begun_on_host.items():
                self._host[name][numbers] = begun

    def read(self, number: int, device: bool = True) -> dict[str, NDArray[Any]]:
        """A copy of one row, by name. device: with what is there."""
        row = {name: array[number].cpu().numpy().copy() for name, array in self._device.items() if device}
        return row | {name: array[number].copy() for name, array in self._host.items()}

    def write(self, number: int, row: StreamRow) -> None:
        """Put back what `read` gave."""
        for name, array in self._device.items():
            array[number].copy_(torch.from_numpy(np.ascontiguousarray(row[name])))
        for name, kept in self._host.items():
            kept[number] = row[name]

    def fresh(self) -> dict[str, NDArray[Any]]:
        """What `read` gives of a row that was just taken."""
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
        # Whoever reads a row meanwhile has it from the old arrays.
        self._device, self._host = device, host
        # Low numbers first.
        self._free = list(range(capacity - 1, self.capacity - 1, -1)) + self._free
        self.capacity = capacity

    def _drop(self) -> None:
        self._free, self.capacity = [], 0
        self._device = {name: row.new_empty(0, *row.shape) for name, row in self.begun.items()}
        self._host = {name: np.zeros((0, *row.shape), row.dtype) for name, row in self.begun_on_host.items()}

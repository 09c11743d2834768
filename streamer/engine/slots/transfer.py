"""What goes to the device and what comes back, in as few copies as there can be.

On CUDA copies are from and to pinned memory, and the host waits once a batch, when it needs what came of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def staged(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """Memory of the host, not filled, from which `sent` need not copy once more."""
    return torch.empty(shape, dtype=dtype, pin_memory=device.type == "cuda")


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """On the device; on CUDA the host goes on meanwhile.

    torch keeps pinned memory until the device has read it. Any other device is waited for: it might read what is gone
    (https://github.com/pytorch/pytorch/issues/139550).
    """
    return tensor.to(device, non_blocking=device.type == "cuda")


class Upload:
    """Rows of whole numbers or truths, (n,) each, that go up together."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._arrays: list[NDArray[Any]] = []
        self._sent: tuple[Tensor, ...] = ()

    def add(self, array: NDArray[Any]) -> int:
        """The place of this array, for when all are there."""
        self._arrays.append(array)
        return len(self._arrays) - 1

    def send(self) -> None:
        lengths = [len(array) for array in self._arrays]
        rows = staged((sum(lengths),), self.device, torch.int64)
        np.concatenate([np.zeros(0, np.int64), *self._arrays], out=rows.numpy(), casting="unsafe")
        self._sent = torch.functional.split(sent(rows, self.device), lengths)

    def __getitem__(self, place: int) -> Tensor:
        """int64, on the device."""
        return self._sent[place]


def fetched(tensors: list[Tensor], together: bool) -> list[NDArray[np.float32]]:
    """Float32 tensors of one device as numpy arrays, after one copy and one wait; of the host's, as they are.

    together: whether they are on a device, or are to be treated so. What comes back is pinned memory on CUDA, and one
    array in any case: copy what is to be kept.
    """
    device = tensors[0].device
    if not together:
        return [tensor.numpy() for tensor in tensors]
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    host = staged(tuple(flat.shape), device)
    host.copy_(flat, non_blocking=device.type == "cuda")
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()
    parts = torch.functional.split(host, [tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape).numpy() for part, tensor in zip(parts, tensors, strict=True)]

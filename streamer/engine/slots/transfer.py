"""Copies between host and device, as few as possible.

On CUDA, copies use pinned memory, and the host waits once per batch: for the results.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def staged(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """Uninitialised host memory that `sent` can send without another copy: pinned on CUDA."""
    return torch.empty(shape, dtype=dtype, pin_memory=device.type == "cuda")


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to the device; on CUDA the host does not wait for the copy.

    torch keeps pinned memory until the device has read it. On any other device the copy is synchronous: it might read
    the tensor after it is freed (https://github.com/pytorch/pytorch/issues/139550).
    """
    return tensor.to(device, non_blocking=device.type == "cuda")


class Upload:
    """Integer or boolean arrays, (n,) each, that are sent to the device together."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._arrays: list[NDArray[Any]] = []
        self._sent: tuple[Tensor, ...] = ()

    def add(self, array: NDArray[Any]) -> int:
        """Add an array. Returns its place, to get it by after `send`."""
        self._arrays.append(array)
        return len(self._arrays) - 1

    def send(self) -> None:
        lengths = [len(array) for array in self._arrays]
        rows = staged((sum(lengths),), self.device, torch.int64)
        np.concatenate([np.zeros(0, np.int64), *self._arrays], out=rows.numpy(), casting="unsafe")
        self._sent = torch.functional.split(sent(rows, self.device), lengths)

    def __getitem__(self, place: int) -> Tensor:
        """The array at this place, on the device, as int64."""
        return self._sent[place]


def fetched(tensors: list[Tensor], together: bool) -> list[NDArray[np.float32]]:
    """Float32 tensors of one device as numpy arrays, with one copy and one wait.

    together: True for tensors on a device, or to treat those on the host the same way. The results are then views of
    one array, pinned on CUDA: copy what is to be kept. False for tensors on the host, which are not copied.
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

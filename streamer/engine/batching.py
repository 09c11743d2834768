"""Groups streams into batches, and pads their hops, so that only a few batch sizes occur.

oneDNN caches a kernel for each input size of a layer, up to 2 MB for all layers, and creating the kernels takes as long
as using them. With few sizes, a process soon has all the kernels it needs.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

#: The number of SincNet x-vector hops to compute at once on a CPU. The activations of more do not fit in its
#: second-level cache.
CPU_HOPS = 512
#: On other devices: the memory for a hop's activations (the last layers of a SincNet x-vector: 1500 channels, several
#: times), and the share of device memory they may use. The rest is for weights and streams.
HOP_BYTES, SHARE = 64 << 10, 1 / 8
#: Assumed if a device does not report its memory.
UNKNOWN_BYTES = 8 << 30


def hops_at_once(device: torch.device, on_cpu: int) -> int:
    """The number of hops of all streams to compute at once: fixed on a CPU, elsewhere as many as fit in a fraction of
    the device's memory.
    """
    if device.type == "cpu":
        return on_cpu
    memory = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else UNKNOWN_BYTES
    return max(1, int(memory * SHARE) // HOP_BYTES)


def groups(hops: NDArray[np.int64], device: torch.device, at_once: int) -> list[NDArray[np.int64]]:
    """The indices of streams with new hops, split into groups that are computed at once. hops: (streams,).

    at_once: the largest number of hops in a group.
    """
    # Sort by the number of hops, so that little padding is needed.
    places = np.argsort(hops, kind="stable")[np.count_nonzero(hops == 0) :]
    if not len(places):
        return []
    limit = max(1, at_once // int(hops.max()))
    if device.type == "cpu":
        sizes = group_sizes(len(places), limit)
    else:
        sizes = [min(limit, len(places) - first) for first in range(0, len(places), limit)]
    return np.split(places, np.cumsum(sizes)[:-1])


def group_sizes(streams: int, limit: int) -> list[int]:
    """Split a number of streams into groups of at most `limit`, each of size 1, 2, 3, 4, 6, 8, 12, 16, ..."""
    sizes: list[int] = []
    while streams:
        most = min(streams, limit)
        power = 1 << (most.bit_length() - 1)
        sizes.append(power * 3 // 2 if most >= power * 3 // 2 else power)
        streams -= sizes[-1]
    return sizes


def padded_hops(hops: int, step_samples: int, stride: int) -> int:
    """The number of hops to pad to: those of a step, or of half a step, a quarter, ..."""
    padded = max(hops, -(-step_samples // stride))
    while padded > 1 and -(-padded // 2) >= hops:
        padded = -(-padded // 2)
    return padded

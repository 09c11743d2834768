"""Which streams are computed together, and how many hops each batch is padded to: batches of a few different sizes.

oneDNN keeps a kernel for each size of a layer's input that it has met, up to 2 MB for all layers, and making them takes
as long as using them. With few sizes, a process soon has all that it will ever meet.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

#: On a CPU, hops of a SincNet x-vector computed at once: more streams' activations than these fall out of its
#: second-level cache.
CPU_HOPS = 512
#: On other devices, memory that a hop's activations take while it is computed (a SincNet x-vector's last layers: 1500
#: channels, several times), and which share of the device's memory they may. The rest is for weights and streams.
HOP_BYTES, SHARE = 64 << 10, 1 / 8
#: Where a device does not say how much memory it has.
UNKNOWN_BYTES = 8 << 30


def hops_at_once(device: torch.device, on_cpu: int) -> int:
    """How many hops of all streams are computed at once: on a CPU a fixed number, elsewhere what a fraction of its
    memory holds."""
    if device.type == "cpu":
        return on_cpu
    memory = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else UNKNOWN_BYTES
    return max(1, int(memory * SHARE) // HOP_BYTES)


def groups(hops: NDArray[np.int64], device: torch.device, at_once: int) -> list[NDArray[np.int64]]:
    """The places of the streams that have new hops (streams,), in groups to be computed at once.

    at_once: how many hops that may be.
    """
    # Streams with as many hops stand together, so that little is padded.
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
    """So many streams as groups of at most `limit`, all of them 1, 2, 3, 4, 6, 8, 12, 16, ... large."""
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

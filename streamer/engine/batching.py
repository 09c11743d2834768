"""Which streams are computed together, and as how many hops: batches of few different sizes.

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


def groups(hops: NDArray[np.int64], device: torch.device, at_once: int = CPU_HOPS) -> list[NDArray[np.int64]]:
    """The places of the streams that have new hops (streams,), in groups to be computed at once.

    at_once: how many hops that may be on a CPU.
    """
    # Streams with as many hops stand together, so that little is padded.
    places = np.argsort(hops, kind="stable")[np.count_nonzero(hops == 0) :]
    if device.type != "cpu" or len(places) == 0:
        return [places] if len(places) else []
    sizes = group_sizes(len(places), max(1, at_once // int(hops.max())))
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
    """As how many hops so many are computed: those of a step, or of a half of it, a quarter, ..."""
    padded = max(hops, -(-step_samples // stride))
    while padded > 1 and -(-padded // 2) >= hops:
        padded = -(-padded // 2)
    return padded

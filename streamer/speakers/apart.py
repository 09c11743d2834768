"""Reusable memory for large arrays, outside the heap.

Every roster change allocates and frees matrices of many megabytes when very many speakers are enrolled. On the heap,
small objects settle between them, the freed memory cannot be returned to the system, and the process grows. Fresh
memory from the system must be zeroed first, which takes longer than filling it. So freed blocks are kept and reused.
"""

from __future__ import annotations

import mmap
import weakref
from collections import deque

import numpy as np
from numpy.typing import NDArray

#: Smaller arrays stay on the normal heap.
LEAST_BYTES = 1 << 20
#: Block sizes are rounded up to a multiple of about 1/STEP of the size, so that a few more speakers still fit.
STEP = 8

#: Unused blocks. The last few are kept; the others go back to the system. All threads share this queue.
_free: deque[mmap.mmap] = deque(maxlen=3)


def empty(shape: tuple[int, int]) -> NDArray[np.float32]:
    """An uninitialised float32 array of this shape. Its memory is reused once no view of it is left."""
    count = shape[0] * shape[1]
    if 4 * count < LEAST_BYTES:
        return np.empty(shape, np.float32)
    memory = _taken(4 * count)
    array = np.frombuffer(memory, np.float32, count)
    weakref.finalize(array, _free.append, memory).atexit = False
    return array.reshape(shape)


def _taken(size: int) -> mmap.mmap:
    """A block of at least this size, and at most about twice this size."""
    for _ in range(len(_free)):
        try:
            memory = _free.popleft()
        except IndexError:  # another thread was faster
            break
        if size <= len(memory) <= 2 * size:
            return memory
        _free.append(memory)
    step = 1 << max(size.bit_length() - STEP.bit_length(), 0)
    return mmap.mmap(-1, -(-size // step) * step)

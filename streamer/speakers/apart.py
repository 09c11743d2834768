"""Large arrays in memory of their own, which is used again.

Where matrices of many megabytes come and go all the time, as one does with each change of very many people, small
things that are made meanwhile settle between them, and what the matrices leave cannot be given back: the process grows.
Memory that is new from the system each time would have to be cleared by it, which takes longer than to fill it.
"""

from __future__ import annotations

import mmap
import weakref
from collections import deque

import numpy as np
from numpy.typing import NDArray

#: Smaller arrays lie where everything else does.
LEAST_BYTES = 1 << 20
#: What is set aside grows in steps of this part of it, so that a few people more still fit.
STEP = 8

#: Memory that nobody uses: the last few are kept, the others go back to the system. All threads share it.
_free: deque[mmap.mmap] = deque(maxlen=3)


def empty(shape: tuple[int, int]) -> NDArray[np.float32]:
    """An array of this shape, float32, whose values are not set yet. Its memory is another's once no view of it is
    left."""
    count = shape[0] * shape[1]
    if 4 * count < LEAST_BYTES:
        return np.empty(shape, np.float32)
    memory = _taken(4 * count)
    array = np.frombuffer(memory, np.float32, count)
    weakref.finalize(array, _free.append, memory).atexit = False
    return array.reshape(shape)


def _taken(size: int) -> mmap.mmap:
    """Memory of at least this size, and not of much more."""
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

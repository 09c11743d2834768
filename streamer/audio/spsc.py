"""A lock-free queue of samples between two threads: one writes, one reads, the oldest sample is overwritten.

Each side advances its own indices and only reads the other's (Lamport, 1983, "Specifying Concurrent Program
Modules"). Overwriting is detected as in a seqlock: the writer announces what it will overwrite before it does,
and the reader checks again after copying and discards samples that were overwritten meanwhile.
https://en.wikipedia.org/wiki/Seqlock
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import AudioEvent, Chunk, Gap, Samples

OVERFLOW = "overflow"


@dataclass(frozen=True, slots=True)
class _Mark:
    """A gap of `num_samples` before the stored sample number `index`."""

    index: int
    num_samples: int
    reason: str


class SampleQueue:
    """At most `capacity` samples and `max_gaps` gaps, with the absolute position of each.

    A gap takes no storage, however long. Methods are for the writer or for the reader, as marked, never for both. Only
    Python integers, one array allocated at the start and a deque are shared; their single operations are atomic.
    """

    def __init__(self, capacity: int, channels: int | None = None, max_gaps: int = 256) -> None:
        self.capacity = capacity
        self.max_gaps = max_gaps
        self._buffer: NDArray[np.float32] = np.zeros(
            (capacity,) if channels is None else (capacity, channels), np.float32
        )
        self._marks: deque[_Mark] = deque()
        # The writer's: indices count stored samples from the start, without gaps.
        self.reserved = self.written = self.end_sample = self.high_water = self.refused = self.marked = 0
        self._held: tuple[int, str] | None = None
        # The reader's.
        self.read = self.position = self.overwritten = self.overflows = 0

    @property
    def stored(self) -> int:
        """Samples that wait, including those that were overwritten and whose loss was not yet read."""
        return self.written - self.read

    @property
    def empty(self) -> bool:
        return self.written == self.read and not self._marks

    def has_room(self, num_samples: int) -> bool:
        """Writer: whether `put` would lose nothing."""
        free = self.capacity - self.stored
        return free >= num_samples and (self._held is None or len(self._marks) < self.max_gaps)

    def put(self, samples: NDArray[np.float32]) -> None:
        """Writer: append (n,) or (n, channels). Unread samples are overwritten if there is no room."""
        count = len(samples)
        self._publish_held()
        if self._held is not None:  # the log of gaps is full: samples after the gap would have no position
            self._held = (self._held[0] + count, self._held[1])
            self.refused += count
            self.end_sample += count
            return
        self.reserved = self.written + count
        kept = samples[-self.capacity :]
        at = (self.reserved - len(kept)) % self.capacity
        first = min(len(kept), self.capacity - at)
        self._buffer[at : at + first] = kept[:first]
        self._buffer[: len(kept) - first] = kept[first:]
        self.end_sample += count
        self.written = self.reserved
        self.high_water = max(self.high_water, min(self.capacity, self.stored))

    def mark_gap(self, num_samples: int, reason: str) -> None:
        """Writer: advance the clock over samples that never came."""
        self._publish_held()
        self.end_sample += num_samples
        self.marked += num_samples
        if self._held is not None:
            self._held = (self._held[0] + num_samples, self._held[1])
        else:
            self._held = (num_samples, reason)
            self._publish_held()

    def finish(self) -> None:
        """Writer: nothing more will come."""
        if self._held is not None:
            self._marks.append(_Mark(self.written, *self._held))
            self._held = None

    def _publish_held(self) -> None:
        if self._held is not None and len(self._marks) < self.max_gaps:
            self.finish()

    def take(self, out: Samples) -> AudioEvent | None:
        """Reader: the next samples, copied into `out` (a Chunk that views it), or a gap; None if nothing waits."""
        # In this order: a mark set after `written` was read is at or after it, and cannot be skipped.
        written = self.written
        mark = self._marks[0] if self._marks else None
        if mark is not None and mark.index == self.read:
            self._marks.popleft()
            return self._advance(mark.num_samples, mark.reason)
        stop = written if mark is None else min(mark.index, written)
        lost = min(stop, self.reserved - self.capacity) - self.read
        if lost > 0:
            return self._lose(lost)
        count = min(len(out), stop - self.read)
        if count <= 0:
            return None
        at = self.read % self.capacity
        first = min(count, self.capacity - at)
        out[:first] = self._buffer[at : at + first]
        out[first:count] = self._buffer[: count - first]
        torn = min(count, self.reserved - self.capacity - self.read)
        if torn > 0:
            return self._lose(torn)
        self.read += count
        self.position += count
        return Chunk(self.position - count, out[:count])

    def _lose(self, count: int) -> Gap:
        self.read += count
        self.overwritten += count
        self.overflows += 1
        return self._advance(count, OVERFLOW)

    def _advance(self, num_samples: int, reason: str) -> Gap:
        self.position += num_samples
        return Gap(self.position - num_samples, self.position, reason)

"""The ring buffer between a source and its reader: bounded, and it reports every loss among the samples."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import AudioEvent, Gap, Samples
from streamer.audio.spsc import SampleQueue
from streamer.errors import BufferClosed, BufferOverflow, ConfigurationError

Overflow = Literal["drop_oldest", "block", "error"]


@dataclass(frozen=True, slots=True)
class RingStatistics:
    """Counts since the start, in samples, except `overflows`.

    written: offered by the writer. read: returned to the reader. dropped: lost to overflow, even if the reader has not
    reached them yet. marked: declared missing by the writer. high_water: the most that ever waited. overflows: number
    of gaps "overflow".
    """

    written: int
    read: int
    dropped: int
    marked: int
    high_water: int
    overflows: int


class RingBuffer:
    """A bounded queue of samples from one writer to one reader.

    capacity_samples: how many samples can wait; allocated once. Gaps take no space, however long they are.
    overflow: what happens when the buffer is full. "drop_oldest" drops the oldest samples, and the reader
        gets a Gap "overflow" in their place; "block" makes `write` wait; "error" makes it raise BufferOverflow, and
        nothing is written.
    channels: None for samples (n,), a number for samples (n, channels).
    max_gaps: how many unread gaps are kept; further gaps extend the last one.

    The writer is one task, or one other thread (`write_from_thread`, `mark_gap`, `close`), which never waits and takes
    no lock. Cancelling `read` or `write` loses nothing: samples move at once after the last await.
    A write longer than the capacity moves in chunks of the capacity; `end_sample` shows its progress.
    """

    def __init__(
        self,
        capacity_samples: int,
        *,
        overflow: Overflow = "drop_oldest",
        channels: int | None = None,
        max_gaps: int = 256,
    ) -> None:
        if overflow not in get_args(Overflow):
            raise ConfigurationError(f"overflow={overflow!r} is not known; use one of {', '.join(get_args(Overflow))}.")
        for name, value in (("capacity_samples", capacity_samples), ("channels", channels), ("max_gaps", max_gaps)):
            if value is not None and value < 1:
                raise ConfigurationError(f"{name}={value} is too small; use at least 1.")
        self.overflow = overflow
        self._queue = SampleQueue(capacity_samples, channels, max_gaps)
        self._layout = "(n,)" if channels is None else f"(n, {channels})"
        self._sample_shape = () if channels is None else (channels,)
        self._closed = self._abandoned = False
        self._error: Exception | None = None
        self._data, self._room = _Signal("reader"), _Signal("writer")

    @property
    def capacity_samples(self) -> int:
        return self._queue.capacity

    @property
    def end_sample(self) -> int:
        """The writer's clock: the position of the next sample to be written."""
        return self._queue.end_sample

    @property
    def position(self) -> int:
        """The reader's clock: the position of the next sample to be read."""
        return self._queue.position

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def statistics(self) -> RingStatistics:
        queue = self._queue
        unmissed = max(0, queue.reserved - queue.capacity - queue.read)
        return RingStatistics(
            written=queue.written + queue.refused,
            read=queue.read - queue.overwritten,
            dropped=queue.overwritten + queue.refused + unmissed,
            marked=queue.marked,
            high_water=queue.high_water,
            overflows=queue.overflows,
        )

    # The writer's side.

    async def write(self, samples: NDArray[np.float32]) -> None:
        """Append samples. Raises BufferClosed after `close` or `abandon`, BufferOverflow under "error" when full."""
        if self.overflow != "block":
            self.write_from_thread(samples)
            return
        for start in range(0, len(samples), self.capacity_samples):
            chunk = samples[start : start + self.capacity_samples]
            await self._room_for(len(chunk))
            self._append(chunk)

    def write_from_thread(self, samples: NDArray[np.float32]) -> None:
        """Append samples at once, from any one thread: never waits, takes no lock, allocates no memory of their size.

        Raises the errors of `write`, and ConfigurationError under "block", where it would have to wait.
        """
        if self.overflow == "block":
            raise ConfigurationError(
                "overflow='block' cannot make a thread wait; use drop_oldest or error, or await write()."
            )
        if self.overflow == "error" and not self._queue.has_room(len(samples)):
            raise BufferOverflow(
                f"the buffer is full: {self._queue.stored} of {self.capacity_samples} samples wait and {len(samples)} "
                "more came; read faster, raise capacity_samples, or use overflow='drop_oldest'."
            )
        self._append(samples)

    def mark_gap(self, num_samples: int, reason: str) -> None:
        """Advance the clock over missing samples; the reader gets a Gap. Call it from the writer's task or thread."""
        if num_samples < 0:
            raise ConfigurationError(f"a gap of {num_samples} samples would turn time back; use 0 or more.")
        self._refuse_closed()
        if num_samples:
            self._queue.mark_gap(num_samples, reason)
            self._data.wake()

    async def put(self, event: AudioEvent) -> None:
        """Write a chunk or mark a gap; it must begin where the last one ended (ConfigurationError otherwise)."""
        if event.start_sample != self.end_sample:
            raise ConfigurationError(f"{event} does not begin at sample {self.end_sample}, where the last one ended.")
        if isinstance(event, Gap):
            self.mark_gap(event.end_sample - event.start_sample, event.reason)
        else:
            await self.write(event.samples)

    def close(self, error: Exception | None = None) -> None:
        """End the audio. The reader gets the waiting samples, then the end, or `error`. Call it from the writer's task
        or thread."""
        if not self._closed:
            self._queue.finish()
            self._error = error
            self._closed = True
            self._data.wake()
            self._room.wake()

    async def drain(self) -> None:
        """Wait until everything written has been read. Raises BufferClosed if the reader abandons it."""
        while not self._queue.empty:
            if self._abandoned:
                raise BufferClosed("the reader has left; what waits in the buffer will not be read.")
            await self._room.wait_unless(lambda: self._queue.empty or self._abandoned)

    # The reader's side.

    async def read(self, max_samples: int | None = None) -> AudioEvent | None:
        """The next samples, at least one and at most `max_samples` (default: all that wait), or a gap; None at the end.

        Raises the error that `close` was given, after everything before it has been read.
        """
        if max_samples is not None and max_samples < 1:
            raise ConfigurationError(f"max_samples={max_samples}: cannot read less than 1 sample.")
        await self._something()
        size = max(1, min(self._queue.stored, max_samples or self.capacity_samples, self.capacity_samples))
        return self._next(np.empty((size, *self._sample_shape), np.float32))

    async def read_into(self, out: Samples) -> AudioEvent | None:
        """Like `read`, into the caller's array: the samples of a Chunk are a view of its beginning."""
        if len(out) == 0:
            raise ConfigurationError("cannot read into an empty array.")
        await self._something()
        return self._next(out)

    def read_nowait(self, out: Samples) -> AudioEvent | None:
        """Like `read_into`, but returns None if nothing is waiting. Call it from the reader's task or thread."""
        event = self._queue.take(out)
        if event is not None:
            self._room.wake()
        return event

    async def __aiter__(self) -> AsyncIterator[AudioEvent]:
        while (event := await self.read()) is not None:
            yield event

    def abandon(self) -> None:
        """The reader leaves: from now on `write` raises BufferClosed, even if it is already waiting."""
        self._abandoned = True
        self._room.wake()

    async def _something(self) -> None:
        while self._queue.empty and not self._closed:
            await self._data.wait_unless(lambda: not self._queue.empty or self._closed)

    def _next(self, out: Samples) -> AudioEvent | None:
        event = self.read_nowait(out)
        if event is None and self._error is not None:
            raise self._error
        return event

    async def _room_for(self, num_samples: int) -> None:
        while not (self._queue.has_room(num_samples) or self._closed or self._abandoned):
            await self._room.wait_unless(lambda: self._queue.has_room(num_samples) or self._closed or self._abandoned)

    def _append(self, samples: NDArray[np.float32]) -> None:
        self._refuse_closed()
        if samples.shape[1:] != self._sample_shape:
            raise ConfigurationError(f"samples of shape {samples.shape} do not fit; this buffer wants {self._layout}.")
        if len(samples):
            self._queue.put(samples)
            self._data.wake()

    def _refuse_closed(self) -> None:
        if self._closed or self._abandoned:
            raise BufferClosed(
                f"the buffer was {'closed' if self._closed else 'left by its reader'}; nothing more fits."
            )


class _Signal:
    """Wakes the one task that waits, from its own thread or another one."""

    def __init__(self, who: str) -> None:
        self._who = who
        self._waiter: asyncio.Future[None] | None = None

    async def wait_unless(self, ready: Callable[[], bool]) -> None:
        """Wait to be woken, unless `ready`: the condition may have become true before anybody could wake the task."""
        # A task that was cancelled and has not yet run to its end no longer counts.
        if self._waiter is not None and not self._waiter.done():
            raise RuntimeError(f"a ring buffer has one {self._who}, and another task is waiting as such already.")
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        try:
            if not ready():
                await waiter
        finally:
            if self._waiter is waiter:
                self._waiter = None

    def wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            with suppress(RuntimeError):  # the loop was closed: nobody waits
                waiter.get_loop().call_soon_threadsafe(_finish, waiter)


def _finish(waiter: asyncio.Future[Any]) -> None:
    if not waiter.done():
        waiter.set_result(None)

"""One live stream: samples go in at one end, steps and gaps come out at the other."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Literal

from streamer.audio.chunks import SAMPLE_RATE, AudioEvent, Chunk, Gap, Samples, Source
from streamer.audio.ring import RingBuffer, RingStatistics
from streamer.engine.choices import check_known
from streamer.engine.heard import Block
from streamer.engine.incremental import IncrementalStream
from streamer.engine.window import Step, Window
from streamer.engine.worker import Worker
from streamer.errors import StreamClosed, StreamerError

#: What happens if the engine, or the reader of the steps, falls behind. "every": the writer waits, and every step is
#: computed. "latest": the writer never waits; the stream continues with the newest window and reports what it left out.
Policy = Literal["every", "latest"]

#: The limit for unread steps; the stream pauses until there is room again.
UNREAD_STEPS = 64


@dataclass(frozen=True, slots=True)
class StreamStatistics:
    """Statistics of one stream: the lag of the last step and the worst so far (seconds from its last sample to its
    result), the steps delivered and left out, and the counts of its buffer (samples).
    """

    lag_s: float
    worst_lag_s: float
    steps: int
    skipped: int
    buffer: RingStatistics


class Stream:
    """Created by `Engine.open` or `Engine.stream`; an async context manager.

    Iterate over it for windows, or over `steps()` for everything: Steps, and Gaps where audio is missing. Use one of
    the two, once.
    """

    def __init__(self, incremental: IncrementalStream, worker: Worker, policy: Policy, capacity_s: float) -> None:
        check_known("policy", policy, Policy)
        settings = incremental.settings
        longest = settings.duration_samples[-1]
        capacity = max(round(capacity_s * SAMPLE_RATE), longest + 2 * settings.step_samples)
        self._incremental = incremental
        self._worker = worker
        self._policy = policy
        self._ring = RingBuffer(capacity, overflow="block" if policy == "every" else "drop_oldest")
        # A restored stream continues at its old position; its buffer counts from zero.
        self._origin = incremental.received
        self._arrivals: deque[tuple[int, float]] = deque()
        self._results: asyncio.Queue[Step | Gap | None] = asyncio.Queue(UNREAD_STEPS)
        self._between_steps = asyncio.Lock()
        self._failure: Exception | None = None
        #: Whether samples were taken from the buffer whose results are not complete yet.
        self._in_hand = False
        self._tasks: list[asyncio.Task[None]] = []
        self._skipped = self._unreported = self._steps = 0
        self._lag_s = self._worst_lag_s = 0.0

    async def __aenter__(self) -> Stream:
        self._worker.expected += 1
        self._tasks.append(asyncio.create_task(self._run(), name="streamer-stream"))
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._worker.expected -= 1
        self._ring.abandon()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        left = bool(self._tasks) and self._tasks[0].cancelled()
        # A cancelled task refers to the frames in which it was cancelled, and they refer to this stream.
        self._tasks.clear()
        if left:
            # A reader in another task must not wait for results that will never come.
            self._failure = StreamClosed("the stream was left before its end.")
            while not self._results.empty():
                self._results.get_nowait()
            self._results.put_nowait(None)

    @property
    def statistics(self) -> StreamStatistics:
        return StreamStatistics(self._lag_s, self._worst_lag_s, self._steps, self._skipped, self._ring.statistics)

    @property
    def unread(self) -> int:
        """The number of unread results, counting the computation in progress as one: a snapshot is ahead of its reader
        by this number.
        """
        return self._results.qsize() + self._in_hand

    @property
    def position(self) -> int:
        """The next sample to be written."""
        return self._origin + self._ring.end_sample

    async def write(self, samples: Samples) -> None:
        """Append samples (n,), float32 mono at 16 kHz; with policy "every" this waits for room.

        Raises BufferClosed after `end`, or when the stream has failed or was left.
        """
        await self._ring.write(samples)
        self._note_arrival()

    def gap(self, num_samples: int, reason: str) -> None:
        """Report missing samples: the clock moves past them."""
        self._ring.mark_gap(num_samples, reason)
        self._note_arrival()

    async def end(self) -> None:
        """End the audio: the last, incomplete step is computed."""
        self._ring.close()

    async def snapshot(self) -> bytes:
        """The engine's state between two steps. It does not contain samples that were written but not yet processed:
        the `position` of a stream that continues from it is the next sample to write.
        """
        async with self._between_steps:
            return self._incremental.snapshot()

    def feed(self, source: Source) -> None:
        """Write everything from a source, in a task of this stream; an error of the source becomes one of the
        stream."""
        self._tasks.append(asyncio.create_task(self._pump(source), name="streamer-source"))

    async def steps(self) -> AsyncIterator[Step | Gap]:
        """Steps and gaps in order, to the end. Raises the error that ended the stream or its source."""
        while (result := await self._results.get()) is not None:
            yield result
        if self._failure is not None:
            failure, self._failure = self._failure, None
            try:
                raise failure
            finally:
                # A traceback refers to the frames it passed through: the cycle would live until the next full
                # collection.
                del failure

    async def __aiter__(self) -> AsyncIterator[Window]:
        async for result in self.steps():
            if isinstance(result, Step):
                for window in result.windows:
                    yield window

    def _note_arrival(self) -> None:
        """Record the time at which steps became complete."""
        step = self._incremental.settings.step_samples
        complete = self.position // step * step
        if not self._arrivals or self._arrivals[-1][0] < complete:
            self._arrivals.append((complete, time.monotonic()))

    async def _pump(self, source: Source) -> None:
        try:
            async with source:
                async for event in source:
                    if isinstance(event, Gap):
                        self.gap(event.end_sample - event.start_sample, event.reason)
                    else:
                        await self.write(event.samples)
            self._ring.close()
        except Exception as error:  # any error belongs to the reader
            self._ring.close(error)

    async def _run(self) -> None:
        try:
            while (event := await self._ring.read()) is not None:
                self._in_hand = True
                await self._take(event)
                self._in_hand = False
            await self._step(self._incremental.rest())
        except asyncio.CancelledError:
            raise
        except Exception as error:
            # Our own errors explain themselves. Their tracebacks would keep this stream in memory.
            self._failure = error.with_traceback(None) if isinstance(error, StreamerError) else error
            self._ring.abandon()
        await self._results.put(None)

    async def _take(self, event: AudioEvent) -> None:
        if isinstance(event, Gap):
            start, end = self._origin + event.start_sample, self._origin + event.end_sample
            await self._step(self._incremental.skip(end))
            while self._arrivals and self._arrivals[0][0] <= end:
                self._arrivals.popleft()
            await self._results.put(Gap(start, end, event.reason))
        else:
            await self._catch_up(event)

    async def _catch_up(self, chunk: Chunk) -> None:
        """Step a chunk. Under "latest", skip what lies before the newest window if the backlog is too long."""
        samples, settings = chunk.samples, self._incremental.settings
        start, end = self._origin + chunk.start_sample, self._origin + chunk.end_sample
        newest = end // settings.step_samples * settings.step_samples - settings.duration_samples[-1]
        if self._policy == "latest" and newest - start >= settings.step_samples:
            left_out = newest // settings.step_samples - start // settings.step_samples
            # The current step is cut short and ends before the gap; the step after it reports what was left out.
            await self._step(self._incremental.skip(newest))
            self._skipped += left_out
            self._unreported += left_out
            samples = samples[newest - start :]
        await self._step(self._incremental.cut(samples))

    async def _step(self, blocks: list[Block]) -> None:
        for block in blocks:
            async with self._between_steps:
                step = await self._worker.step(block)
            if step is not None:
                self._lag_s = self._lag(step.end_sample)
                self._worst_lag_s = max(self._worst_lag_s, self._lag_s)
                self._steps += 1
                skipped, self._unreported = self._unreported, 0
                await self._results.put(replace(step, lag_s=self._lag_s, skipped=skipped))

    def _lag(self, end_sample: int) -> float:
        """Seconds since a step's last sample was written, by the first write that reached it."""
        while self._arrivals and self._arrivals[0][0] < end_sample:
            self._arrivals.popleft()
        return time.monotonic() - self._arrivals[0][1] if self._arrivals else 0.0

"""One live stream: samples are written at one end, steps and gaps come out at the other."""

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

#: What happens when the engine, or who reads the steps, falls behind. "every": whoever writes is made to wait, and
#: every step is computed. "latest": the writer never waits; the stream goes on with the newest window and says what it
#: left out.
Policy = Literal["every", "latest"]

#: Steps that wait to be read; the stream stops stepping until there is room again.
UNREAD_STEPS = 64


@dataclass(frozen=True, slots=True)
class StreamStatistics:
    """Of one stream: lag of the last step and the worst so far (seconds from its last sample to its result), steps
    given and left out, and its buffer's counts (samples)."""

    lag_s: float
    worst_lag_s: float
    steps: int
    skipped: int
    buffer: RingStatistics


class Stream:
    """Made by `Engine.open` or `Engine.stream`; an async context manager.

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
        # A restored stream goes on where it stood; its buffer counts from zero.
        self._origin = incremental.received
        self._arrivals: deque[tuple[int, float]] = deque()
        self._results: asyncio.Queue[Step | Gap | None] = asyncio.Queue(UNREAD_STEPS)
        self._between_steps = asyncio.Lock()
        self._failure: Exception | None = None
        #: Whether something was taken from the buffer whose results are not all there yet.
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
        # A cancelled task knows the frames it was cancelled in, and they know this stream.
        self._tasks.clear()
        if left:
            # Whoever reads in another task must not wait for what will not come.
            self._failure = StreamClosed("the stream was left before its end.")
            while not self._results.empty():
                self._results.get_nowait()
            self._results.put_nowait(None)

    @property
    def statistics(self) -> StreamStatistics:
        return StreamStatistics(self._lag_s, self._worst_lag_s, self._steps, self._skipped, self._ring.statistics)

    @property
    def unread(self) -> int:
        """Results that nobody has read yet, with what is being computed as one: a snapshot is ahead of its reader by
        these."""
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
        """Samples are missing: the clock moves over them."""
        self._ring.mark_gap(num_samples, reason)
        self._note_arrival()

    async def end(self) -> None:
        """No more audio will come: the last, incomplete step is computed."""
        self._ring.close()

    async def snapshot(self) -> bytes:
        """The engine's state between two steps. Samples that are written and not yet taken up are not in it: the
        `position` of a stream that continues from it says which sample comes next.
        """
        async with self._between_steps:
            return self._incremental.snapshot()

    def feed(self, source: Source) -> None:
        """Write everything from a source, in a task of this stream; an error of the source becomes one of the
        stream."""
        self._tasks.append(asyncio.create_task(self._pump(source), name="streamer-source"))

    async def steps(self) -> AsyncIterator[Step | Gap]:
        """Steps and gaps in order, to the end. Raises the error that the stream or its source failed with."""
        while (result := await self._results.get()) is not None:
            yield result
        if self._failure is not None:
            failure, self._failure = self._failure, None
            try:
                raise failure
            finally:
                # A failure knows the frames it passed through: together they would live until the next full collection.
                del failure

    async def __aiter__(self) -> AsyncIterator[Window]:
        async for result in self.steps():
            if isinstance(result, Step):
                for window in result.windows:
                    yield window

    def _note_arrival(self) -> None:
        """Remember when the steps that have become complete did."""
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
        except Exception as error:  # whatever it is, it is the reader's to see
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
            # Our own errors say all there is to say. Their frames would keep this stream's memory.
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
        """Step a chunk. Under "latest", what lies before the newest window is left out when there is too much of it."""
        samples, settings = chunk.samples, self._incremental.settings
        start, end = self._origin + chunk.start_sample, self._origin + chunk.end_sample
        newest = end // settings.step_samples * settings.step_samples - settings.duration_samples[-1]
        if self._policy == "latest" and newest - start >= settings.step_samples:
            left_out = newest // settings.step_samples - start // settings.step_samples
            # The step that was going on is cut short, and is before the gap; what follows it says what was left out.
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
        """Seconds since a step's last sample was written: the first write that reached at least so far."""
        while self._arrivals and self._arrivals[0][0] < end_sample:
            self._arrivals.popleft()
        return time.monotonic() - self._arrivals[0][1] if self._arrivals else 0.0

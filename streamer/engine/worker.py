"""The only thread that uses the device: it collects the blocks that are ready and steps them together."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from streamer.engine.heard import Block
from streamer.engine.incremental import IncrementalModel
from streamer.engine.window import Step
from streamer.errors import ConfigurationError, StreamClosed, StreamerError

#: The result of a block: the step it completed, nothing, or the reason why its stream cannot continue.
Outcome = Step | StreamerError | None

_CLOSED = "the engine was closed; open streams inside of `async with Engine(...)`."


@dataclass(slots=True)
class WorkerStatistics:
    """Counts since the start. busy_s: seconds spent stepping. largest_batch: the most blocks stepped at once."""

    batches: int = 0
    blocks: int = 0
    failures: int = 0
    busy_s: float = 0.0
    largest_batch: int = 0

    @property
    def mean_batch(self) -> float:
        return self.blocks / self.batches if self.batches else 0.0


@dataclass(frozen=True, slots=True)
class Health:
    """The state of the worker: whether its thread is alive, whether it is stepping a batch now, how many batches it has
    stepped, and how many of the last ones failed completely in a row.
    """

    alive: bool
    busy: bool
    batches: int
    failures: int


@dataclass(frozen=True, slots=True)
class _Request:
    block: Block
    future: asyncio.Future[Outcome]
    loop: asyncio.AbstractEventLoop


@dataclass(slots=True)
class Load:
    """The fraction of time that a thread was recently busy.

    recent: the weight of the latest work.
    """

    share: float = 0.0
    recent: float = 0.1
    _ended: float = -math.inf

    def note(self, started: float, ended: float) -> None:
        """Record that it was busy between these two times, in seconds of any clock, and idle since the last busy
        period."""
        self.share += self.recent * ((ended - started) / max(ended - self._ended, 1e-9) - self.share)
        self._ended = ended


@dataclass(frozen=True, slots=True)
class Pace:
    """Limits of a batch. max_batch, max_wait_s: see Worker."""

    max_batch: int
    max_wait_s: float

    @classmethod
    def of(cls, device: torch.device) -> Pace:
        """The limits that suit a device.

        On a CPU a larger batch makes a stream hardly cheaper, and every stream waits for the whole batch. Another
        device steps hundreds in the time of one; the wait for a batch must stay small compared with the 100 ms that a
        live stream has.
        """
        return cls(64, 0.05) if device.type == "cpu" else cls(8192, 0.02)


@dataclass(slots=True)
class Worker:
    """Steps blocks in a separate thread.

    max_batch: the most blocks to step at once; more wait for the next batch. An incomplete batch waits for more blocks,
    longer if the thread is busier, and at most max_wait_s: an idle thread answers at once, and a busy one lets more
    streams share the fixed cost of a batch. The worker's queue cannot grow without limit: a stream submits its next
    block only when it has the outcome of the last one.
    """

    model: IncrementalModel
    max_batch: int
    max_wait_s: float
    statistics: WorkerStatistics = field(default_factory=WorkerStatistics)
    expected: int = 0
    _requests: deque[_Request] = field(default_factory=deque)
    _ready: threading.Condition = field(default_factory=threading.Condition)
    _thread: threading.Thread | None = None
    _closing: bool = False
    _busy: bool = False
    _load: Load = field(default_factory=Load)
    _failed_in_a_row: int = 0

    @property
    def health(self) -> Health:
        """Safe to call from any thread."""
        alive = self._thread is not None and self._thread.is_alive()
        return Health(alive, self._busy, self.statistics.batches, self._failed_in_a_row)

    def __post_init__(self) -> None:
        if self.max_batch < 1 or self.max_wait_s < 0:
            raise ConfigurationError(
                f"max_batch={self.max_batch} and max_wait_s={self.max_wait_s}: need at least 1 and 0."
            )

    def start(self) -> None:
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="streamer-engine", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop after the current batch; waiting blocks get StreamClosed. Waits until the thread has ended."""
        with self._ready:
            self._closing = True
            self._ready.notify()
        if self._thread is not None:
            self._thread.join()
        _deliver([(request, StreamClosed(_CLOSED)) for request in self._requests])
        self._requests.clear()

    async def step(self, block: Block) -> Step | None:
        """Step a block in the next batch. Raises the error that its stream failed with, or StreamClosed.

        If cancelled after its batch has begun, the block is still stepped, and its outcome is dropped.
        """
        loop = asyncio.get_running_loop()
        request = _Request(block, loop.create_future(), loop)
        with self._ready:
            if self._closing or self._thread is None:
                raise StreamClosed(_CLOSED)
            self._requests.append(request)
            self._ready.notify()
        outcome = await request.future
        if isinstance(outcome, StreamerError):
            raise outcome
        return outcome

    def _run(self) -> None:
        while (batch := self._gather()) is not None:
            if batch:
                self._step_batch(batch)
            del batch  # An idle worker keeps no samples in memory.

    def _step_batch(self, batch: list[_Request]) -> None:
        started = time.perf_counter()
        self._busy = True
        outcomes = self._outcomes([request.block for request in batch])
        self._busy = False
        ended = time.perf_counter()
        self._load.note(started, ended)
        statistics = self.statistics
        statistics.busy_s += ended - started
        statistics.batches += 1
        statistics.blocks += len(batch)
        statistics.failures += sum(isinstance(outcome, StreamerError) for outcome in outcomes)
        statistics.largest_batch = max(statistics.largest_batch, len(batch))
        _deliver(list(zip(batch, outcomes, strict=True)))

    def _gather(self) -> list[_Request] | None:
        """The next batch, without cancelled requests; None when the worker should stop."""
        with self._ready:
            self._ready.wait_for(lambda: self._requests or self._closing)
            # Once every stream has submitted its block, there is nothing to wait for.
            self._ready.wait_for(
                lambda: len(self._requests) >= min(self.expected, self.max_batch) or self._closing,
                self._load.share * self.max_wait_s,
            )
            if self._closing:
                return None
            batch = [self._requests.popleft() for _ in range(min(len(self._requests), self.max_batch))]
        return [request for request in batch if not request.future.done()]

    def _outcomes(self, blocks: Sequence[Block]) -> Sequence[Outcome]:
        try:
            outcomes = self.model.step(blocks)
        except Exception as error:
            # After any failure, the streams' states are no longer reliable, and the streams must get the error; this
            # thread continues.
            if isinstance(error, torch.OutOfMemoryError | MemoryError):
                advice = f"out of memory with {len(blocks)} streams at once; lower max_batch={self.max_batch}"
            else:
                advice = f"stepping {len(blocks)} streams failed ({type(error).__name__})"
            self._failed_in_a_row += 1
            return [StreamClosed(f"{advice}: {error}.") for _ in blocks]
        self._failed_in_a_row = 0
        return outcomes


def _deliver(results: list[tuple[_Request, Outcome]]) -> None:
    """Pass outcomes to their event loops, with one wake-up per loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Outcome], Outcome]]] = {}
    for request, outcome in results:
        by_loop.setdefault(request.loop, []).append((request.future, outcome))
    for loop, pairs in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody is waiting any more
            loop.call_soon_threadsafe(_resolve, pairs)


def _resolve(pairs: list[tuple[asyncio.Future[Outcome], Outcome]]) -> None:
    for future, outcome in pairs:
        if not future.done():
            future.set_result(outcome)

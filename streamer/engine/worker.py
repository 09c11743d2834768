"""The one thread that owns the device: it gathers the blocks that are ready and steps them together."""

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

#: What came of a block: the step it completed, nothing, or why its stream cannot go on.
Outcome = Step | StreamerError | None

_CLOSED = "the engine was closed; open streams inside of `async with Engine(...)`."


@dataclass(slots=True)
class WorkerStatistics:
    """Counts since the start. busy_s: seconds spent stepping. largest_batch: blocks stepped at once."""

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
    """How the worker does: whether its thread lives, whether it steps a batch just now, how many it has stepped, and
    how many of the last failed as a whole, one after the other."""

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
    """The share of its time that a thread was busy lately.

    recent: what the last work weighs.
    """

    share: float = 0.0
    recent: float = 0.1
    _ended: float = -math.inf

    def note(self, started: float, ended: float) -> None:
        """It was busy between these two times, in seconds of any clock, and idle since it was busy before."""
        self.share += self.recent * ((ended - started) / max(ended - self._ended, 1e-9) - self.share)
        self._ended = ended


@dataclass(frozen=True, slots=True)
class Pace:
    """max_batch, max_wait_s: see Worker."""

    max_batch: int
    max_wait_s: float

    @classmethod
    def of(cls, device: torch.device) -> Pace:
        """What suits a device.

        On a CPU a stream costs hardly less in a larger batch, and who waits for one waits for all in it. Another device
        takes hundreds in the time of one; what they wait for each other must stay small beside the 100 ms that a live
        stream has.
        """
        return cls(64, 0.05) if device.type == "cpu" else cls(8192, 0.02)


@dataclass(slots=True)
class Worker:
    """Steps blocks in a separate thread.

    max_batch: blocks stepped at once at most; more wait for the next batch. An incomplete batch waits for more, the
    longer the busier the thread is, and max_wait_s at most: one that idles answers at once, and one that doesn't lets
    more streams share what a batch costs whatever is in it. No queue of its own can grow: a stream hands in its next
    block when it has the last one's outcome.
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
        """May be asked from any thread."""
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
        """Stop after the present batch; what still waits gets StreamClosed. Blocks until the thread has ended."""
        with self._ready:
            self._closing = True
            self._ready.notify()
        if self._thread is not None:
            self._thread.join()
        _deliver([(request, StreamClosed(_CLOSED)) for request in self._requests])
        self._requests.clear()

    async def step(self, block: Block) -> Step | None:
        """Step a block in the next batch. Raises what its stream failed of, or StreamClosed.

        Cancelled, the block is stepped all the same if its batch has begun, and its outcome forgotten.
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
            del batch  # While there is nothing to do, nobody's samples are held on to.

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
        """The next batch, without those who were cancelled; None when the worker is to end."""
        with self._ready:
            self._ready.wait_for(lambda: self._requests or self._closing)
            # There is nothing to wait for when every stream has handed in its block.
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
            # Whatever failed, the streams' states can no longer be trusted, and must hear of it; this thread lives on.
            if isinstance(error, torch.OutOfMemoryError | MemoryError):
                advice = f"out of memory with {len(blocks)} streams at once; lower max_batch={self.max_batch}"
            else:
                advice = f"stepping {len(blocks)} streams failed ({type(error).__name__})"
            self._failed_in_a_row += 1
            return [StreamClosed(f"{advice}: {error}.") for _ in blocks]
        self._failed_in_a_row = 0
        return outcomes


def _deliver(results: list[tuple[_Request, Outcome]]) -> None:
    """Hand outcomes to their event loops, with one wake-up a loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Outcome], Outcome]]] = {}
    for request, outcome in results:
        by_loop.setdefault(request.loop, []).append((request.future, outcome))
    for loop, pairs in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, pairs)


def _resolve(pairs: list[tuple[asyncio.Future[Outcome], Outcome]]) -> None:
    for future, outcome in pairs:
        if not future.done():
            future.set_result(outcome)

"""The engine: one model, one worker, any number of live streams.

>>> async with Engine(model) as engine:                                            # doctest: +SKIP
...     async with engine.stream(FileSource("talk.wav", realtime=True)) as stream:
...         async for window in stream:
...             print(window.start, window.end, window.embedding)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import torch

from streamer.audio.chunks import Source
from streamer.engine.incremental import IncrementalModel
from streamer.engine.layers import Precision
from streamer.engine.settings import Mode
from streamer.engine.stream import Policy, Stream
from streamer.engine.worker import Health, Pace, Worker, WorkerStatistics
from streamer.errors import ConfigurationError
from streamer.models.model import Model
from streamer.speech.detector import SpeechChoice

#: The buffer capacity of a stream in seconds, before its policy applies; at least its longest window and two steps.
CAPACITY_S = 10.0


class Engine:
    """Computes windows of live streams, on one device, in one separate thread.

    model: a Model, or anything that `Model.from_pretrained` takes. device: "auto", "cpu", "cuda", "mps".
    mode, precision, speech: see IncrementalModel. max_batch, max_wait_s: see Worker; None chooses by the device.
    threads: how many threads torch uses, in the whole process; None leaves it as it is.
    """

    def __init__(
        self,
        model: Model | str = "default",
        *,
        device: str | torch.device = "auto",
        mode: Mode | None = None,
        precision: Precision = "float32",
        speech: SpeechChoice = "auto",
        threads: int | None = None,
        max_batch: int | None = None,
        max_wait_s: float | None = None,
    ) -> None:
        if threads is not None and threads < 1:
            raise ConfigurationError(f"threads={threads}: needs at least 1.")
        loaded = Model.from_pretrained(model) if isinstance(model, str) else model
        self.incremental = IncrementalModel(loaded, mode, precision=precision, speech=speech, device=device)
        usual = Pace.of(loaded.device)
        self._worker = Worker(
            self.incremental,
            usual.max_batch if max_batch is None else max_batch,
            usual.max_wait_s if max_wait_s is None else max_wait_s,
        )
        self._threads = threads

    @property
    def model(self) -> Model:
        return self.incremental.model

    @property
    def statistics(self) -> WorkerStatistics:
        return self._worker.statistics

    @property
    def health(self) -> Health:
        """The state of the worker thread."""
        return self._worker.health

    async def __aenter__(self) -> Engine:
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        self._worker.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        # The current batch may take a while, and must not block the event loop.
        await asyncio.to_thread(self._worker.close)

    def open(
        self,
        durations: Sequence[float] = (3.0,),
        step: float = 1.0,
        *,
        policy: Policy = "every",
        capacity_s: float = CAPACITY_S,
        restore: bytes | None = None,
    ) -> Stream:
        """A stream to write to: `async with engine.open() as stream: await stream.write(samples)`.

        restore: a `Stream.snapshot` to continue from; its durations and step are used. Raises StateMismatch if it is
        from another engine, ConfigurationError for invalid durations or steps.
        """
        if restore is not None:
            incremental = self.incremental.restore(restore)
        else:
            incremental = self.incremental.open(durations, step)
        return Stream(incremental, self._worker, policy, capacity_s)

    @asynccontextmanager
    async def stream(
        self,
        source: Source,
        duration: float | Sequence[float] = 3.0,
        step: float = 1.0,
        *,
        policy: Policy = "every",
        capacity_s: float = CAPACITY_S,
    ) -> AsyncIterator[Stream]:
        """A stream that reads a source. duration: one window length in seconds, or several."""
        durations = (duration,) if isinstance(duration, int | float) else tuple(duration)
        async with self.open(durations, step, policy=policy, capacity_s=capacity_s) as stream:
            stream.feed(source)
            yield stream

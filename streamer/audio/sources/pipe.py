"""Raw PCM from standard input, a pipe, or anything that can be read."""

from __future__ import annotations

import asyncio
import os
import queue
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import IO

from streamer.audio.condition import Channel
from streamer.audio.formats import BYTES_PER_SAMPLE, Encoding, check_channels, check_encoding
from streamer.audio.resample import check_rate
from streamer.audio.sources.base import BaseSource, InputFormat, Item

#: The longest block that is read at once. Shorter blocks are taken as they arrive.
BLOCK_S = 0.1


class PipeSource(BaseSource):
    """Headerless PCM from a file object, by default from standard input, until it ends.

    file: a binary file object. encoding: s16le, s24le, s32le, f32le, mulaw or alaw. rate: Hz. channels: in a frame.
    channel: "downmix" (the mean) or the index of one; `split_channels` makes one source of each.

    Samples are delivered as they arrive. The file object is not closed at the end.
    """

    def __init__(
        self,
        file: IO[bytes] | None = None,
        *,
        encoding: Encoding = "s16le",
        rate: int = 16_000,
        channels: int = 1,
        channel: Channel = "downmix",
    ) -> None:
        super().__init__(channel)
        name = "standard input" if file is None else str(getattr(file, "name", "pipe"))
        self._format = InputFormat(check_rate(rate), check_channels(channels), check_encoding(encoding), name)
        self._file = file
        self._reader: _Reader | None = None

    @property
    def num_channels(self) -> int:
        return self._format.channels

    async def open_input(self) -> InputFormat:
        given = self._format
        size = max(1, round(given.rate * BLOCK_S)) * given.channels * BYTES_PER_SAMPLE[given.encoding or "s16le"]
        self._reader = _Reader(_read_function(self._file, size))
        return given

    async def next_item(self) -> Item | None:
        assert self._reader is not None
        return await self._reader.read() or None

    async def close_input(self) -> None:
        if self._reader is not None:
            self._reader.close()


def _read_function(file: IO[bytes] | None, size: int) -> Callable[[], bytes]:
    """Returns a function that reads the available bytes, at most `size`, and waits only for the first of them."""
    if file is None:
        # Not through sys.stdin.buffer: a thread that waits inside its lock makes the interpreter abort at exit.
        descriptor = sys.stdin.fileno()
        return lambda: os.read(descriptor, size)
    read = getattr(file, "read1", file.read)
    return lambda: bytes(read(size))


class _Reader:
    """A thread that reads on request. It is a daemon: a read that never returns must not keep the process alive."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read
        self._requests: queue.SimpleQueue[asyncio.Future[bytes] | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="streamer-pipe", daemon=True).start()

    async def read(self) -> bytes:
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._requests.put(answer)
        return await answer

    def close(self) -> None:
        self._requests.put(None)

    def _run(self) -> None:
        while (answer := self._requests.get()) is not None:
            try:
                data, error = self._read(), None
            except Exception as problem:
                data, error = b"", problem
            with suppress(RuntimeError):  # the loop was closed in the meantime
                answer.get_loop().call_soon_threadsafe(_settle, answer, data, error)


def _settle(answer: asyncio.Future[bytes], data: bytes, error: Exception | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(data)
    else:
        answer.set_exception(error)

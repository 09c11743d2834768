"""A bad network on the loopback interface: it delays, splits and merges what passes, and cuts connections."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator


class Proxy:
    """Forwards TCP to a port, badly.

    cuts: after so many bytes upstream, in total, the connection that carries them is cut (one after the other).
    split: parts of up to so many bytes are forwarded one by one. delay_s: at most so long before each.
    """

    def __init__(self, port: int, *, cuts: list[int], split: int, delay_s: float = 0.0, seed: int = 0) -> None:
        self.target = port
        self.connections = 0
        self.blocked = False
        self._cuts = sorted(cuts)
        self._split = split
        self._delay_s = delay_s
        self._random = random.Random(seed)
        self._passed = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.writers: set[asyncio.StreamWriter] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            self.cut()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Cut every connection now, without a word."""
        for writer in self.writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            if not self.blocked:
                await self._carry(reader, writer)
        writer.transport.abort()
        self._tasks.discard(task)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target)
        pair = {writer, up_writer}
        self.writers |= pair
        ways = [
            asyncio.create_task(self._forward(reader, up_writer, counted=True)),
            asyncio.create_task(self._forward(up_reader, writer, counted=False)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            up_writer.transport.abort()
            self.writers -= pair

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(self._random.randint(1, 65_536)):
                at = 0
                while at < len(data):
                    part = data[at : at + self._random.randint(1, self._split)]
                    at += len(part)
                    if counted and self._cuts and self._passed + len(part) > self._cuts[0]:
                        part = part[: self._cuts.pop(0) - self._passed]
                        self._passed += len(part)
                        writer.write(part)
                        return
                    self._passed += len(part) if counted else 0
                    writer.write(part)
                    await writer.drain()
                    if self._delay_s:
                        await asyncio.sleep(self._random.uniform(0, self._delay_s))

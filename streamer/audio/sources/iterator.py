"""Audio from the program itself, as a source."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator

from streamer.audio.condition import Channel
from streamer.audio.formats import Encoding, check_channels, check_encoding
from streamer.audio.resample import check_rate
from streamer.audio.sources.base import BaseSource, InputFormat, Item
from streamer.errors import ConfigurationError


class IteratorSource(BaseSource):
    """The blocks of an iterator: bytes (of `encoding`), arrays (n,) or (channels, n), or `InputGap` for lost samples.

    blocks: an async iterable, or a sync one, which must not block: it runs in the event loop.
    rate: Hz. channels: of each block. channel: "downmix" (the mean) or the index of one.

    An async generator is closed with the source.
    """

    def __init__(
        self,
        blocks: AsyncIterable[Item] | Iterable[Item],
        *,
        rate: int = 16_000,
        channels: int = 1,
        channel: Channel = "downmix",
        encoding: Encoding | None = None,
        name: str = "iterator",
    ) -> None:
        super().__init__(channel)
        checked = None if encoding is None else check_encoding(encoding)
        self._format = InputFormat(check_rate(rate), check_channels(channels), checked, name)
        self._blocks: AsyncIterator[Item] | Iterator[Item]
        if isinstance(blocks, AsyncIterable):
            self._blocks = aiter(blocks)
        elif isinstance(blocks, Iterable) and not isinstance(blocks, bytes | bytearray | str):
            self._blocks = iter(blocks)
        else:
            raise ConfigurationError(f"{type(blocks).__name__} is not an iterable of blocks; put one block in a list.")

    @property
    def num_channels(self) -> int:
        return self._format.channels

    async def open_input(self) -> InputFormat:
        return self._format

    async def next_item(self) -> Item | None:
        if isinstance(self._blocks, AsyncIterator):
            return await anext(self._blocks, None)
        await asyncio.sleep(0)  # let other tasks of the loop run
        return next(self._blocks, None)

    async def close_input(self) -> None:
        close = getattr(self._blocks, "aclose", None)
        if close is not None:
            await close()

"""The base of all sources: it turns blocks of an input into contiguous events, and loses nothing on cancellation."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from streamer.audio.chunks import AudioEvent, InputGap
from streamer.audio.condition import AnyBlock, Channel, Conditioner
from streamer.audio.formats import Encoding
from streamer.errors import ConfigurationError

logger = logging.getLogger("streamer.audio")


@dataclass(frozen=True, slots=True)
class InputFormat:
    """The format of an input. encoding: of bytes; None if it delivers arrays. name: for messages."""

    rate: int
    channels: int
    encoding: Encoding | None
    name: str


Item = AnyBlock | InputGap


class BaseSource(ABC):
    """A `Source` (see `streamer.audio.chunks`) over the blocks of one input.

    If a task is cancelled while it waits for the next event, nothing is lost: the next `anext` waits for the same
    block. An error is raised once, and then ends the iteration.
    """

    #: Whether the start of the input may be held back for a moment; see `streamer.audio.downmix`.
    patient = False

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._conditioner: Conditioner | None = None
        self._ready: deque[AudioEvent] = deque()
        self._under_way: asyncio.Future[Item | None] | None = None
        self._ended = False
        #: Called with a notice about the sound, and the position (samples at 16 kHz) up to which it had been heard;
        #: without it, the notice goes to the log of "streamer.audio".
        self.on_notice: Callable[[int, str], None] | None = None

    @property
    def num_channels(self) -> int | None:
        """The number of channels of the input; None if it is unknown before the input is opened."""
        return None

    @abstractmethod
    async def open_input(self) -> InputFormat:
        """Open the input and return its format."""

    @abstractmethod
    async def next_item(self) -> Item | None:
        """The next block, or `InputGap`; None at the end."""

    @abstractmethod
    async def close_input(self) -> None:
        """Close the input. `next_item` is not running then."""

    async def __aenter__(self) -> Self:
        if self._conditioner is not None:
            raise ConfigurationError("this source is open already; make one source for each use.")
        self._ready.clear()
        self._ended = False
        given = await self.open_input()
        try:
            self._conditioner = Conditioner(
                given.rate,
                channels=given.channels,
                channel=self._channel,
                encoding=given.encoding,
                name=given.name,
                patient=self.patient,
            )
        except BaseException:
            await self.close_input()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._conditioner = None
        under_way, self._under_way = self._under_way, None
        try:
            if under_way is not None:
                under_way.cancel()
                await asyncio.wait([under_way])
                if not under_way.cancelled():
                    under_way.exception()  # mark it as retrieved: nobody will ask for it
        finally:
            await self.close_input()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AudioEvent:
        while not self._ready:
            if self._conditioner is None:
                raise ConfigurationError("this source is not open: iterate over it inside of `async with source:`.")
            if self._ended:
                raise StopAsyncIteration
            await self._fetch(self._conditioner)
        await self.pace(self._ready[0])
        return self._ready.popleft()

    def paced(self, events: list[AudioEvent]) -> list[AudioEvent]:
        """The events to deliver; sources with a pace cut longer events that were held back."""
        return events

    async def pace(self, event: AudioEvent) -> None:
        """Wait until `event` is due; sources without a pace do not wait."""
        return

    def _give_notice(self, conditioner: Conditioner, notice: str) -> None:
        if self.on_notice is not None:
            self.on_notice(conditioner.position, notice)
        else:
            logger.warning("%r: %s.", conditioner.name, notice)

    async def _fetch(self, conditioner: Conditioner) -> None:
        if self._under_way is None:
            self._under_way = asyncio.ensure_future(self.next_item())
        try:
            item = await asyncio.shield(self._under_way)
            self._under_way = None
            self._ready.extend(self.paced(_events(conditioner, item)))
            if (notice := conditioner.notice()) is not None:
                self._give_notice(conditioner, notice)
        except asyncio.CancelledError:
            raise
        except BaseException:
            self._under_way, self._ended = None, True
            raise
        self._ended = item is None


def _events(conditioner: Conditioner, item: Item | None) -> list[AudioEvent]:
    if item is None:
        return conditioner.finish()
    if isinstance(item, InputGap):
        return conditioner.gap(item.num_samples, item.reason)
    return conditioner.push(item)


async def settled(future: asyncio.Future[Any] | None) -> None:
    """Wait until `future` is done, with a result or an error."""
    if future is not None:
        await asyncio.wait([future])
        with suppress(asyncio.CancelledError):
            future.exception()

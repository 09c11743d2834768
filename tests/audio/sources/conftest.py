"""Clips, and time that stands still until it is advanced."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import soundfile


@pytest.fixture
def noise():
    """(2, samples) at 44.1 kHz, 2.345 s, at 16 bit."""
    samples = np.random.default_rng(0).integers(-10_000, 10_000, (2, 103_415))
    return (samples / 32768).astype(np.float32)


@pytest.fixture
def clip(tmp_path, noise):
    path = tmp_path / "clip.flac"
    soundfile.write(path, noise.T, 44_100, subtype="PCM_16")
    return path


class FakeTime:
    """A clock and the sleep that belongs to it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self._slept = asyncio.Event()

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now + seconds, future))
        self._slept.set()
        await future

    async def asleep(self) -> float:
        """Wait until somebody sleeps; returns for how long the first of them still does."""
        while not (waiting := [due for due, future in self._sleepers if not future.done()]):
            self._slept.clear()
            await self._slept.wait()
        return min(waiting) - self.now

    async def advance(self, seconds: float) -> None:
        """Wait until somebody sleeps, let time pass, and wake whom it is time for."""
        await self.asleep()
        self.now += seconds
        for due, future in self._sleepers:
            if due <= self.now + 1e-9 and not future.done():
                future.set_result(None)
        self._sleepers = [sleeper for sleeper in self._sleepers if not sleeper[1].done()]

    async def pass_until(self, event: asyncio.Event) -> float:
        """Let time pass, from one sleeper's end to the next, until `event` is set; returns how much did."""
        began, happening = self.now, asyncio.ensure_future(event.wait())
        while not happening.done():
            sleeping = asyncio.ensure_future(self.asleep())
            await asyncio.wait([happening, sleeping], return_when=asyncio.FIRST_COMPLETED)
            if not happening.done():
                await self.advance(await sleeping)
            sleeping.cancel()
        return self.now - began


@pytest.fixture
def fake_time():
    return FakeTime()

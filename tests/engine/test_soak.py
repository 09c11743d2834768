"""Streams that come, stall, break and go, for as long as asked: nothing leaks, nothing is lost or said twice.

`make soak` runs this for five minutes with a hundred streams; the suite runs it shorter and smaller.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from streamer.audio.chunks import SAMPLE_RATE as RATE
from streamer.audio.chunks import Gap
from streamer.engine.engine import Engine
from streamer.engine.stream import Policy, Stream
from streamer.engine.window import Step
from streamer.errors import AudioNotFinite, BufferClosed

SECONDS = float(os.environ.get("STREAMER_SOAK_SECONDS", "20"))
STREAMS = int(os.environ.get("STREAMER_SOAK_STREAMS", "24"))
STEP = RATE // 2
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Client:
    """One visit: what it wrote, what it declared lost, and what it was told."""

    random: random.Random
    policy: Policy
    written: int = 0
    declared: list[tuple[int, int]] = field(default_factory=list)
    told: list[Step | Gap] = field(default_factory=list)
    spoilt_at: int | None = None
    failed: bool = False
    left_early: bool = False

    async def visit(self, engine: Engine) -> None:
        """Speak for some seconds in real time, with whatever goes wrong."""
        try:
            async with engine.open((1.0, 2.0), 0.5, policy=self.policy, capacity_s=3.0) as stream:
                listening = asyncio.create_task(self._listen(stream))
                try:
                    await self._speak(stream)
                finally:
                    if self.left_early:
                        listening.cancel()
                    await asyncio.gather(listening, return_exceptions=True)
        except BufferClosed:
            assert self.spoilt_at is not None

    async def _listen(self, stream: Stream) -> None:
        try:
            async for result in stream.steps():
                self.told.append(result)
        except AudioNotFinite:
            self.failed = True

    async def _speak(self, stream: Stream) -> None:
        noise = np.random.default_rng(self.random.randrange(2**32))
        ends = self.random.uniform(1.0, 6.0) * RATE
        while self.written < ends:
            size = self.random.choice([1, 160, 777, 1600, 4000])
            fate = self.random.random()
            if fate < 0.005:
                self.spoilt_at = self.written
                await stream.write(np.full(size, np.nan, np.float32))
                self.written += size
                # The stream is given time to say so; under "latest" it may have left these very samples out.
                with suppress(BufferClosed):
                    for _ in range(100):
                        if not self.failed:
                            await self._write(stream, np.zeros(1600, np.float32))
                break
            if fate < 0.02:
                lost = self.random.choice([50, 5_000, 50_000])
                self.declared.append((self.written, self.written + lost))
                stream.gap(lost, "packet loss")
                self.written += lost
            if fate > 0.985:
                await asyncio.sleep(self.random.uniform(0.1, 1.0))
            if fate > 0.998:
                self.left_early = True
                return
            await self._write(stream, noise.normal(0, 0.1, size).astype(np.float32))
        await stream.end()

    async def _write(self, stream: Stream, samples: np.ndarray) -> None:
        await stream.write(samples)
        self.written += len(samples)
        await asyncio.sleep(len(samples) / RATE)

    def check(self) -> None:
        """Everything that was written was told of once, in order: in a step, in a gap, or as left out."""
        steps = [result for result in self.told if isinstance(result, Step)]
        gaps = [(result.start_sample, result.end_sample) for result in self.told if isinstance(result, Gap)]
        assert gaps == sorted(set(gaps))
        if self.policy == "every":
            assert set(gaps) <= set(self.declared)
            assert not any(step.skipped for step in steps)
        position = 0
        for step in steps:
            assert step.start_sample >= position, "a step was told twice"
            if not step.skipped:
                for start, end in gaps:  # one may begin where the last ended: lost packets, then an overflow
                    position = end if start <= position < end else position
                assert position >= step.start_sample, f"[{position}, {step.start_sample}) was lost"
            position = step.end_sample
            assert step.partial or position % STEP == 0
            for window in step.windows:
                assert np.isfinite(window.embedding).all()
                assert window.end_sample <= position
        assert not self.failed or self.spoilt_at is not None
        if self.spoilt_at is not None and not self.failed:
            assert self.policy == "latest"
            assert any(step.skipped for step in steps) or set(gaps) > set(self.declared), (
                "NaN was heard and not refused"
            )
        if not self.failed and not self.left_early:
            assert set(gaps) >= set(self.declared)
            end = max([position, *[gap_end for _, gap_end in gaps]])
            assert end == self.written, "the end was not told of"


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE


async def test_streams_come_stall_break_and_go_without_a_trace(local_model):
    # Tallies, not the clients: what the test keeps would look like what the engine leaks.
    visits: Counter[str] = Counter()
    memory: list[int] = []
    deadline = asyncio.get_running_loop().time() + SECONDS

    async def seat(engine: Engine, number: int) -> None:
        chance = random.Random(number)
        while asyncio.get_running_loop().time() < deadline:
            client = Client(chance, chance.choice(["every", "latest"]))
            await client.visit(engine)
            client.check()
            visits.update(all=1, failed=client.failed, left_early=client.left_early)

    async def watch() -> None:
        while asyncio.get_running_loop().time() < deadline:
            memory.append(resident_bytes())
            await asyncio.sleep(SECONDS / 40)

    async with Engine(local_model, speech="off", threads=1) as engine:
        watching = asyncio.create_task(watch())
        await asyncio.gather(*[seat(engine, number) for number in range(STREAMS)])
        await watching

    assert visits["all"] > STREAMS
    if SECONDS >= 20:
        assert visits["failed"] > 0
        assert visits["left_early"] > 0
    assert engine.statistics.failures == visits["failed"]
    settled, last = np.median(memory[len(memory) // 3 : len(memory) // 2]), np.median(memory[-5:])
    print(f"{dict(visits)}, {engine.statistics}, resident {settled / 1e6:.0f} MB -> {last / 1e6:.0f} MB")
    assert last - settled < 30e6, f"memory grew from {settled / 1e6:.0f} to {last / 1e6:.0f} MB"

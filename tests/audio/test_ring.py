"""The ring buffer against a plain list: nothing is lost, moved or reordered but what it says is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.audio.chunks import Chunk, Gap
from streamer.audio.ring import RingBuffer
from streamer.errors import BufferClosed, BufferOverflow, ConfigurationError

MISSING = -1


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario, debug=True)


def numbered(start: int, count: int) -> np.ndarray:
    """Samples that carry their own position."""
    return np.arange(start, start + count, dtype=np.float32)


@dataclass
class Timeline:
    """What the reader was told: for each position its sample, or MISSING. Checks that events are contiguous."""

    values: list[int] = field(default_factory=list)

    def append(self, event: Chunk | Gap) -> None:
        assert event.start_sample == len(self.values)
        assert event.end_sample > event.start_sample
        if isinstance(event, Gap):
            self.values += [MISSING] * (event.end_sample - event.start_sample)
        else:
            self.values += event.samples.astype(int).tolist()


@dataclass
class Model:
    """The plain definition: a list of the samples that wait, each with its position, and a clock."""

    capacity: int
    waiting: list[int] = field(default_factory=list)
    clock: int = 0
    dropped: int = 0

    def write(self, count: int) -> None:
        self.waiting += range(self.clock, self.clock + count)
        self.clock += count
        self.dropped += max(0, len(self.waiting) - self.capacity)
        self.waiting = self.waiting[-self.capacity :]

    def gap(self, count: int) -> None:
        self.clock += count

    def forget(self, position: int) -> None:
        """The reader has come to `position`."""
        self.waiting = [sample for sample in self.waiting if sample >= position]


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["write", "thread", "gap", "read", "read_into", "cancel"]), st.integers(1, 25)),
    max_size=60,
)


@given(OPERATIONS, st.integers(1, 16))
def test_the_reader_of_drop_oldest_gets_what_the_list_model_keeps(operations, capacity):
    async def scenario() -> None:
        ring, model, heard = RingBuffer(capacity), Model(capacity), Timeline()
        kept: set[int] = set()

        async def read(into: np.ndarray | None, count: int) -> None:
            if ring.position == model.clock:
                return
            event = await (ring.read(count) if into is None else ring.read_into(into))
            assert event is not None
            heard.append(event)
            kept.update(sample for sample in model.waiting if sample < event.end_sample)
            model.forget(event.end_sample)

        for name, count in operations:
            if name == "write":
                await ring.write(numbered(model.clock, count))
                model.write(count)
            elif name == "thread":
                ring.write_from_thread(numbered(model.clock, count))
                model.write(count)
            elif name == "gap":
                ring.mark_gap(count, "test")
                model.gap(count)
            elif name == "cancel":
                task = asyncio.ensure_future(ring.read(count))
                await asyncio.sleep(0)
                if not task.done():
                    task.cancel()
                for event in await asyncio.gather(task, return_exceptions=True):
                    if isinstance(event, Chunk | Gap):
                        heard.append(event)
                        kept.update(sample for sample in model.waiting if sample < event.end_sample)
                        model.forget(event.end_sample)
            else:
                await read(np.empty(count, np.float32) if name == "read_into" else None, count)
            statistics = ring.statistics
            assert ring.end_sample == model.clock
            assert statistics.dropped == model.dropped
            assert statistics.written == statistics.read + statistics.dropped + len(model.waiting)
            assert statistics.high_water <= capacity
        ring.close()
        kept.update(model.waiting)
        async for event in ring:
            heard.append(event)
        assert heard.values == [position if position in kept else MISSING for position in range(model.clock)]

    run(scenario())


@given(
    st.lists(st.tuples(st.sampled_from(["write", "gap", "cancel"]), st.integers(0, 15)), max_size=25),
    st.lists(st.integers(1, 15), min_size=1),
    st.integers(1, 16),
)
def test_block_loses_nothing_whoever_is_cancelled(writes, reads, capacity):
    async def scenario() -> None:
        ring, heard = RingBuffer(capacity, overflow="block"), Timeline()
        expected: list[int] = []

        async def writer() -> None:
            for name, count in writes:
                if name == "gap":
                    ring.mark_gap(count, "test")
                    expected.extend([MISSING] * count)
                    continue
                start = ring.end_sample
                task = asyncio.ensure_future(ring.write(numbered(start, count)))
                if name == "cancel":
                    await asyncio.sleep(0)
                    task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                expected.extend(range(start, ring.end_sample))
                if name == "write":
                    assert ring.end_sample == start + count
                elif count <= capacity:  # at once, or not at all
                    assert ring.end_sample in (start, start + count)
            ring.close()

        async def reader() -> None:
            turn = 0
            while True:
                turn += 1
                task = asyncio.ensure_future(ring.read(reads[turn % len(reads)]))
                await asyncio.sleep(0)
                if turn % 3 == 0:
                    task.cancel()
                (event,) = await asyncio.gather(task, return_exceptions=True)
                if event is None:
                    return
                if isinstance(event, Chunk | Gap):
                    heard.append(event)
                    assert ring.statistics.high_water <= capacity

        await asyncio.gather(writer(), reader())
        assert heard.values == expected
        assert ring.statistics.dropped == 0

    run(scenario())


@given(st.lists(st.integers(1, 12), max_size=30), st.integers(1, 16))
def test_error_refuses_what_does_not_fit_and_keeps_the_rest(writes, capacity):
    async def scenario() -> None:
        ring, waiting = RingBuffer(capacity, overflow="error"), 0
        for count in writes:
            if waiting + min(count, capacity) <= capacity and count <= capacity:
                await ring.write(numbered(waiting, count))
                waiting += count
            else:
                with pytest.raises(BufferOverflow, match=rf"{waiting} of {capacity} samples wait and {count} more"):
                    await ring.write(numbered(waiting, count))
        assert ring.end_sample == waiting
        if waiting:
            event = await ring.read()
            assert isinstance(event, Chunk)
            np.testing.assert_array_equal(event.samples, numbered(0, waiting))

    run(scenario())


def test_a_foreign_thread_may_write_at_full_speed_and_no_sample_is_torn():
    blocks, size = 3000, 160

    async def scenario() -> None:
        ring = RingBuffer(1600)
        heard = missing = 0

        def feed() -> None:
            for block in range(blocks):
                ring.write_from_thread(numbered(block * size, size))
                if block % 100 == 99:
                    ring.mark_gap(0, "nothing")
            ring.close()

        thread = threading.Thread(target=feed)
        thread.start()
        position = 0
        async for event in ring:
            assert event.start_sample == position
            position = event.end_sample
            if isinstance(event, Gap):
                missing += event.end_sample - event.start_sample
            else:  # exact in float32: below 2**24
                np.testing.assert_array_equal(event.samples, numbered(event.start_sample, len(event.samples)))
                heard += len(event.samples)
        thread.join()
        assert position == heard + missing == blocks * size
        assert ring.statistics.dropped == missing

    run(scenario())


@pytest.mark.parametrize("ahead", [1, 3, 8, 20])
async def test_samples_overwritten_while_they_are_copied_are_given_up(ahead):
    """The worst moment of two threads, made to happen: the writer comes around between the copy and its check."""

    class Interrupted(np.ndarray):
        def __setitem__(self, key: object, value: object) -> None:
            if ring.end_sample == 8:
                ring.write_from_thread(numbered(8, ahead))
            super().__setitem__(key, value)

    ring, heard = RingBuffer(8), Timeline()
    ring.write_from_thread(numbered(0, 8))
    out = np.empty(8, np.float32).view(Interrupted)
    while len(heard.values) < 8 + ahead:
        event = await ring.read_into(out)
        assert event is not None
        heard.append(event)
    assert heard.values == [MISSING] * ahead + list(range(ahead, 8 + ahead))


def test_a_waiting_reader_is_woken_from_a_foreign_thread():
    async def scenario() -> None:
        ring = RingBuffer(100)
        reading = asyncio.ensure_future(ring.read())
        await asyncio.sleep(0)
        thread = threading.Thread(target=lambda: ring.write_from_thread(numbered(0, 10)))
        thread.start()
        event = await reading
        thread.join()
        assert isinstance(event, Chunk)
        assert event.end_sample == 10

    run(scenario())


async def test_what_is_written_while_the_reader_lies_down_to_wait_wakes_it(monkeypatch):
    """The other worst moment: nothing was there, and nobody waits yet who could be woken."""
    ring, loop = RingBuffer(100), asyncio.get_running_loop()
    create = loop.create_future

    def interrupted() -> asyncio.Future[Any]:
        monkeypatch.undo()
        ring.write_from_thread(numbered(0, 10))
        return create()

    monkeypatch.setattr(loop, "create_future", interrupted)
    event = await ring.read()
    assert isinstance(event, Chunk)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=40), st.integers(1, 3))
def test_gaps_beyond_the_limit_widen_the_last_one_and_time_stays_right(gaps, max_gaps):
    async def scenario() -> None:
        ring, heard, expected = RingBuffer(1000, max_gaps=max_gaps), Timeline(), []
        for index, count in enumerate(gaps):
            refused_from = ring.statistics.dropped
            await ring.write(numbered(ring.end_sample, 1))
            expected += [MISSING if ring.statistics.dropped > refused_from else len(expected)]
            ring.mark_gap(count, f"gap {index}")
            expected += [MISSING] * count
        ring.close()
        async for event in ring:
            heard.append(event)
        assert heard.values == expected
        assert ring.statistics.marked == sum(gaps)

    run(scenario())


async def test_a_long_gap_takes_no_room():
    ring = RingBuffer(10)
    await ring.write(numbered(0, 10))
    ring.mark_gap(1_000_000, "device lost")
    assert isinstance(await ring.read(), Chunk)
    assert await ring.read() == Gap(10, 1_000_010, "device lost")


async def test_a_closed_buffer_is_drained_then_ends():
    ring = RingBuffer(10)
    await ring.write(numbered(0, 4))
    ring.close()
    assert isinstance(await ring.read(), Chunk)
    assert await ring.read() is None
    assert await ring.read() is None
    with pytest.raises(BufferClosed, match="closed"):
        await ring.write(numbered(4, 1))


async def test_the_error_of_the_writer_reaches_the_reader_after_the_samples():
    ring = RingBuffer(10)
    await ring.write(numbered(0, 4))
    ring.close(ConfigurationError("what went wrong"))
    assert isinstance(await ring.read(), Chunk)
    with pytest.raises(ConfigurationError, match="what went wrong"):
        await ring.read()


async def test_drain_waits_for_the_reader():
    ring = RingBuffer(10)
    await ring.write(numbered(0, 4))
    draining = asyncio.ensure_future(ring.drain())
    await ring.read(3)
    await asyncio.sleep(0)
    assert not draining.done()
    await ring.read()
    await draining


async def test_a_writer_that_waits_is_released_when_the_reader_leaves():
    ring = RingBuffer(4, overflow="block")
    await ring.write(numbered(0, 4))
    writing = asyncio.ensure_future(ring.write(numbered(4, 1)))
    await asyncio.sleep(0)
    ring.abandon()
    with pytest.raises(BufferClosed, match="left by its reader"):
        await writing


async def test_a_second_reader_is_refused():
    ring = RingBuffer(4)
    first = asyncio.ensure_future(ring.read())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="one reader"):
        await ring.read()
    first.cancel()
    second = asyncio.ensure_future(ring.read())  # before the first has run to its end
    await asyncio.sleep(0)
    await ring.write(numbered(0, 1))
    assert isinstance(await second, Chunk)


async def test_put_takes_events_in_order_only():
    ring = RingBuffer(10)
    await ring.put(Chunk(0, numbered(0, 3)))
    await ring.put(Gap(3, 5, "packet loss"))
    with pytest.raises(ConfigurationError, match="does not begin at sample 5"):
        await ring.put(Chunk(3, numbered(3, 3)))


async def test_several_channels_travel_together():
    ring = RingBuffer(4, channels=2)
    for start in (0, 3):  # the second wraps around
        block = np.stack([numbered(start, 3), -numbered(start, 3)], axis=1)
        await ring.write(block)
        event = await ring.read()
        assert isinstance(event, Chunk)
        np.testing.assert_array_equal(event.samples, block)
    with pytest.raises(ConfigurationError, match="shape"):
        await ring.write(numbered(0, 2))


@pytest.mark.parametrize(
    "settings",
    [{"capacity_samples": 0}, {"capacity_samples": 1, "overflow": "grow"}, {"capacity_samples": 1, "max_gaps": 0}],
)
def test_a_setting_that_cannot_work_is_refused(settings):
    with pytest.raises(ConfigurationError):
        RingBuffer(**settings)


async def test_calls_that_cannot_work_are_refused():
    with pytest.raises(ConfigurationError, match="cannot make a thread wait"):
        RingBuffer(4, overflow="block").write_from_thread(numbered(0, 1))
    with pytest.raises(ConfigurationError, match="turn time back"):
        RingBuffer(4).mark_gap(-1, "test")
    with pytest.raises(ConfigurationError, match="max_samples=0"):
        await RingBuffer(4).read(0)
    with pytest.raises(ConfigurationError, match="empty array"):
        await RingBuffer(4).read_into(np.empty(0, np.float32))


def test_writing_allocates_nothing_of_the_size_of_the_audio():
    import tracemalloc

    ring, block = RingBuffer(16_000), np.zeros(8_000, np.float32)
    ring.write_from_thread(block)
    tracemalloc.start()
    try:
        for _ in range(10):
            ring.write_from_thread(block)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < block.nbytes / 4

"""Live streams: what comes out is what the synchronous core says, whoever is slow, fails, or leaves."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import suppress

import numpy as np
import pytest

from streamer.audio.chunks import SAMPLE_RATE as RATE
from streamer.audio.chunks import AudioEvent, Chunk, Gap
from streamer.engine.engine import Engine
from streamer.engine.incremental import IncrementalModel
from streamer.engine.stream import UNREAD_STEPS, Stream
from streamer.engine.window import Step
from streamer.errors import AudioNotFinite, BufferClosed, ConfigurationError, StateMismatch, StreamClosed
from streamer.models.model import Model


class ListSource:
    """Plays events; then ends, or fails."""

    def __init__(self, events: list[AudioEvent], error: Exception | None = None) -> None:
        self.events, self.error, self.left = events, error, False

    async def __aenter__(self) -> ListSource:
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.left = True

    async def __aiter__(self) -> AsyncIterator[AudioEvent]:
        for event in self.events:
            yield event
        if self.error:
            raise self.error


def chunks(samples: np.ndarray, size: int, start: int = 0) -> list[AudioEvent]:
    return [Chunk(start + at, samples[at : at + size]) for at in range(0, len(samples), size)]


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(round(seconds * RATE)) * 0.1).astype(np.float32)


def plain(model: Model, samples: np.ndarray) -> list[Step]:
    stream = IncrementalModel(model, speech="off").open((1.0,), 0.5)
    return stream.push(samples) + stream.finish()


def assert_same(found: list[Step | Gap], expected: list[Step]) -> None:
    steps = [step for step in found if isinstance(step, Step)]
    assert [step.end_sample for step in steps] == [step.end_sample for step in expected]
    for step, same in zip(steps, expected, strict=True):
        for one, other in zip(step.windows, same.windows, strict=True):
            np.testing.assert_allclose(one.embedding, other.embedding, atol=1e-5 * np.abs(other.embedding).max())


async def test_many_streams_at_once_say_what_each_says_alone(local_model):
    async def listen(engine: Engine, seed: int) -> list[Step | Gap]:
        source = ListSource(chunks(noise(2.3, seed), 777 * (seed + 1)))
        async with engine.stream(source, 1.0, 0.5) as stream:
            return [step async for step in stream.steps()]

    async with Engine(local_model, speech="off", max_batch=3) as engine:
        heard = await asyncio.gather(*[listen(engine, seed) for seed in range(5)])

    for seed, steps in enumerate(heard):
        assert_same(steps, plain(local_model, noise(2.3, seed)))
    assert 1 < engine.statistics.largest_batch <= 3


async def test_iterating_gives_the_windows(local_model):
    async with (
        Engine(local_model, speech="off") as engine,
        engine.stream(ListSource(chunks(noise(3), 1600)), (1.0, 2.0), 1.0) as stream,
    ):
        windows = [(window.end_sample > 0, window.duration_s) async for window in stream]

    assert windows == [(True, 1.0), (True, 1.0), (True, 2.0), (True, 1.0), (True, 2.0)]


async def test_gaps_come_out_in_their_place(local_model):
    samples = noise(4)
    events = [
        *chunks(samples[:20_000], 1600),
        Gap(20_000, 40_000, "packet loss"),
        *chunks(samples[40_000:], 1600, 40_000),
    ]

    async with (
        Engine(local_model, speech="off") as engine,
        engine.stream(ListSource(events), 1.0, 0.5) as stream,
    ):
        found = [step async for step in stream.steps()]

    assert [step for step in found if isinstance(step, Gap)] == [Gap(20_000, 40_000, "packet loss")]
    assert [step.end_sample for step in found] == [8000, 16_000, 20_000, 40_000, 48_000, 56_000, 64_000]


async def test_every_makes_the_writer_wait_and_loses_nothing(local_model):
    samples = noise(0.35 * (UNREAD_STEPS + 30))
    async with Engine(local_model, speech="off") as engine, engine.open((0.35,), 0.35, capacity_s=1.0) as stream:
        writing = asyncio.create_task(write_all(stream, samples))
        while stream.statistics.steps < UNREAD_STEPS + 1:  # noqa: ASYNC110 (nothing tells of a queue that is full)
            await asyncio.sleep(0)
        assert not writing.done()
        found = [step async for step in stream.steps()]

    assert len(found) == UNREAD_STEPS + 30
    assert not any(step.skipped for step in found if isinstance(step, Step))


async def write_all(stream: object, samples: np.ndarray) -> None:
    for start in range(0, len(samples), 4000):
        await stream.write(samples[start : start + 4000])  # type: ignore[attr-defined]
    await stream.end()  # type: ignore[attr-defined]


async def test_latest_goes_on_with_the_newest_window_and_says_what_it_left_out(local_model):
    samples = noise(10)
    async with (
        Engine(local_model, speech="off") as engine,
        engine.open((1.0,), 0.5, policy="latest", capacity_s=20.0) as stream,
    ):
        # All at once, before the stream has had a turn to read.
        await stream.write(samples)
        await stream.end()
        found = [step async for step in stream.steps()]

    steps = [step for step in found if isinstance(step, Step)]
    assert steps[-1].end_sample == len(samples)
    assert sum(step.skipped for step in steps) + len(steps) == 20
    assert stream.statistics.skipped == sum(step.skipped for step in steps) > 10
    expected = plain(local_model, samples)[-1].windows[0]
    np.testing.assert_allclose(steps[-1].windows[0].embedding, expected.embedding, rtol=1e-3, atol=1e-5)


async def test_what_was_left_out_is_said_by_the_step_behind_the_hole(local_model):
    async with (
        Engine(local_model, speech="off") as engine,
        engine.open((1.0,), 0.5, policy="latest", capacity_s=20.0) as stream,
    ):
        # A gap splits what was written: the stream has begun a step when it finds that it is late.
        await stream.write(noise(0.2))
        stream.gap(160, "packet loss")
        await stream.write(noise(5))
        await stream.end()
        found = [step async for step in stream.steps()]

    steps = [step for step in found if isinstance(step, Step)]
    assert (steps[0].partial, steps[0].skipped) == (True, 0)
    assert steps[1].start_sample > steps[0].end_sample
    assert steps[1].skipped > 0


async def test_an_overflow_under_latest_is_a_gap(local_model):
    async with (
        Engine(local_model, speech="off") as engine,
        engine.open((1.0,), 0.5, policy="latest", capacity_s=2.0) as stream,
    ):
        await stream.write(noise(2))
        await stream.write(noise(1))
        await stream.end()
        found = [step async for step in stream.steps()]

    (gap,) = [step for step in found if isinstance(step, Gap)]
    assert (gap.start_sample, gap.end_sample, gap.reason) == (0, RATE, "overflow")
    assert stream.statistics.buffer.dropped == RATE


async def test_a_stream_that_fails_fails_alone(local_model):
    spoilt = ListSource(chunks(np.full(RATE, np.nan, np.float32), 1600))
    async with (
        Engine(local_model, speech="off") as engine,
        engine.stream(spoilt, 1.0, 0.5) as broken,
        engine.stream(ListSource(chunks(noise(2), 1600)), 1.0, 0.5) as sound,
    ):
        with pytest.raises(AudioNotFinite):
            _ = [step async for step in broken.steps()]
        found = [step async for step in sound.steps()]

    assert_same(found, plain(local_model, noise(2)))


async def test_whatever_fails_in_a_step_the_streams_hear_of_it_and_others_go_on(local_model):
    async with Engine(local_model, speech="off") as engine, engine.open((1.0,), 0.5) as broken:
        broken._incremental.state.settings = None  # a fault of our own, such as no test has found yet
        await broken.write(noise(1))
        with pytest.raises(StreamClosed, match="failed"):
            _ = [step async for step in broken.steps()]

        async with engine.stream(ListSource(chunks(noise(2), 1600)), 1.0, 0.5) as sound:
            found = [step async for step in sound.steps()]

    assert_same(found, plain(local_model, noise(2)))


async def test_leaving_a_stream_ends_its_reader_in_another_task(local_model):
    async def read(stream: Stream) -> list[Step | Gap]:
        return [step async for step in stream.steps()]

    async with Engine(local_model, speech="off") as engine:
        async with engine.open((1.0,), 0.5) as stream:
            reader = asyncio.create_task(read(stream))
            await stream.write(noise(0.7))
            await asyncio.sleep(0)
        with pytest.raises(StreamClosed, match="left"):
            async with asyncio.timeout(60):
                await reader


async def test_a_sources_error_is_the_streams_after_what_it_gave(local_model):
    source = ListSource(chunks(noise(1), 1600), OSError("the cable is out"))
    heard = []

    async with Engine(local_model, speech="off") as engine, engine.stream(source, 1.0, 0.5) as stream:
        results = stream.steps()
        heard += [await anext(results), await anext(results)]
        with pytest.raises(OSError, match="cable"):
            await anext(results)

    assert [step.end_sample for step in heard] == [8000, 16_000]
    assert source.left


async def test_leaving_a_stream_leaves_its_source_and_hurts_nobody(local_model):
    source = ListSource(chunks(noise(30), 1600))
    async with Engine(local_model, speech="off") as engine:
        async with engine.stream(source, 1.0, 0.5) as stream:
            async for _ in stream:
                break
        with pytest.raises(BufferClosed):
            await stream.write(noise(0.1))
        async with engine.stream(ListSource(chunks(noise(1), 1600)), 1.0, 0.5) as other:
            assert len([step async for step in other.steps()]) == 2

    assert source.left


async def test_lag_is_measured_from_the_steps_last_sample(local_model):
    async with Engine(local_model, speech="off") as engine, engine.open((1.0,), 0.5) as stream:
        await stream.write(noise(2.0))  # the last sample of four steps at once
        results = stream.steps()
        steps = [await anext(results) for _ in range(4)]
        await stream.end()

    lags = [step.lag_s for step in steps if isinstance(step, Step)]
    assert 0 < lags[0] < lags[1] < lags[2] < lags[3] < 30
    assert stream.statistics.worst_lag_s == stream.statistics.lag_s == lags[3]


async def test_what_is_unread_is_known(local_model):
    async with Engine(local_model, speech="off") as engine, engine.open((1.0,), 0.5) as stream:
        await stream.write(noise(1.2))
        results = stream.steps()
        await anext(results)
        ahead = stream.unread
        await anext(results)

        assert (ahead, stream.unread) == (1, 0)


async def test_a_snapshot_goes_on_in_another_engine(local_model):
    samples = noise(2.5)
    async with Engine(local_model, speech="off") as engine, engine.open((1.0,), 0.5) as stream:
        results = stream.steps()
        await stream.write(samples[:20_000])
        found = [await anext(results), await anext(results)]
        data = await stream.snapshot()

    async with Engine(local_model, speech="off") as engine, engine.open(restore=data) as stream:
        await stream.write(samples[stream.position :])
        await stream.end()
        found += [step async for step in stream.steps()]

    assert_same(found, plain(local_model, samples))


async def test_what_cannot_work_is_refused_at_once(local_model):
    with pytest.raises(ConfigurationError, match="threads=0"):
        Engine(local_model, threads=0)
    with pytest.raises(ConfigurationError, match="max_batch=0"):
        Engine(local_model, speech="off", max_batch=0)
    with pytest.raises(ConfigurationError, match="not a device"):
        Engine(local_model, device="abacus")
    engine = Engine(local_model, speech="off")
    with pytest.raises(ConfigurationError, match="policy='lates'"):
        engine.open(policy="lates")  # type: ignore[arg-type]
    with pytest.raises(StateMismatch):
        engine.open(restore=b"nothing")
    async with engine.open((1.0,), 0.5) as stream:
        await stream.write(noise(1))
        with pytest.raises(StreamClosed, match="async with Engine"):
            _ = [step async for step in stream.steps()]


async def test_an_engine_that_was_left_can_be_entered_again(local_model):
    engine = Engine(local_model, speech="off")
    for _ in range(2):
        async with engine, engine.stream(ListSource(chunks(noise(1), 1600)), 1.0, 0.5) as stream:
            assert len([step async for step in stream.steps()]) == 2


@pytest.mark.parametrize("fate", ["ends", "fails"])
async def test_a_stream_that_is_over_is_gone_at_once(local_model, fate):
    async def visit(engine: Engine) -> list[weakref.ref[object]]:
        async with engine.open((1.0,), 0.5) as stream:
            await stream.write(noise(1) if fate == "ends" else np.full(RATE, np.nan, np.float32))
            await stream.end()
            with suppress(AudioNotFinite):
                _ = [step async for step in stream.steps()]
            return [weakref.ref(stream), weakref.ref(stream._incremental)]

    async with Engine(local_model, speech="off") as engine:
        gc.collect()
        gc.disable()
        try:
            over = await visit(engine)
            # The tasks' last callbacks are still to run, and the worker's way back to its wait.
            async with asyncio.timeout(20):
                while any(reference() is not None for reference in over):  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
        finally:
            gc.enable()

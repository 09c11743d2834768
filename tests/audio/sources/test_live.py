"""Pipes, iterators, and channels split apart: the same samples whatever brings them, and every loss reported."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.audio.chunks import AudioEvent, Chunk, Gap
from streamer.audio.condition import Conditioner
from streamer.audio.formats import ENCODINGS, decode_pcm, encode_pcm
from streamer.audio.sources import (
    BaseSource,
    FileSource,
    InputGap,
    IteratorSource,
    MicrophoneSource,
    PipeSource,
    split_channels,
)
from streamer.errors import AudioNotFinite, ConfigurationError, UnsupportedFormat


async def collect(source: BaseSource) -> list[AudioEvent]:
    async with source:
        return [event async for event in source]


def timeline(events: list[AudioEvent]) -> np.ndarray:
    """The samples of contiguous events, NaN in gaps."""
    parts, position = [np.zeros(0, np.float32)], 0
    for event in events:
        assert event.start_sample == position < event.end_sample
        position = event.end_sample
        parts.append(event.samples if isinstance(event, Chunk) else np.full(position - event.start_sample, np.nan))
    return np.concatenate(parts)


def conditioned(samples: np.ndarray, rate: int, channel: Any = "downmix") -> np.ndarray:
    conditioner = Conditioner(rate, channels=len(samples), channel=channel)
    return timeline([*conditioner.push(samples), *conditioner.finish()])


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_a_pipe_of_any_encoding_is_what_its_bytes_mean(encoding, noise):
    content = encode_pcm(noise, encoding)
    expected = conditioned(decode_pcm(content, encoding).reshape(-1, 2).T, 44_100)
    source = PipeSource(io.BytesIO(content), encoding=encoding, rate=44_100, channels=2)
    np.testing.assert_array_equal(timeline(await collect(source)), expected)


async def test_a_pipe_hands_on_what_there_is_without_waiting_for_more():
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as file:
        async with PipeSource(file) as source:
            for start in (0, 3):
                os.write(writing, encode_pcm(np.array([0.5, -0.5, 0.25]), "s16le"))
                event = await anext(source)
                assert isinstance(event, Chunk)
                assert (event.start_sample, event.samples.tolist()) == (start, [0.5, -0.5, 0.25])
            coming = asyncio.ensure_future(anext(source))  # cancelled in the middle of a read
            await asyncio.sleep(0)
            coming.cancel()
            os.write(writing, b"\x00\x40\x00")
            assert (await anext(source)).start_sample == 6
            os.close(writing)
            assert await anext(source) == Gap(7, 8, "partial sample")
            assert await anext(source, None) is None


async def test_leaving_a_pipe_that_never_sends_does_not_wait_for_it():
    reading, writing = os.pipe()
    file = os.fdopen(reading, "rb")
    async with PipeSource(file) as source:
        coming = asyncio.ensure_future(anext(source))
        await asyncio.sleep(0)
        coming.cancel()
    os.close(writing)
    file.close()


def test_standard_input_is_read_and_does_not_hold_up_the_exit():
    code = (
        "import asyncio\n"
        "from streamer.audio.sources import PipeSource\n"
        "async def main():\n"
        "    async with PipeSource() as source:\n"
        "        print(len((await anext(source)).samples), flush=True)\n"
        "        asyncio.ensure_future(anext(source))\n"
        "        await asyncio.sleep(0)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(bytes(320))
        process.stdin.flush()
        assert process.stdout.readline() == b"160\n"
        assert process.wait(timeout=20) == 0  # although standard input is still open


async def test_an_error_of_the_pipe_is_raised():
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise OSError("device unplugged")

    async with PipeSource(Broken()) as source:
        with pytest.raises(OSError, match="device unplugged"):
            await anext(source)


def test_a_pipe_of_an_unknown_format_is_refused():
    with pytest.raises(UnsupportedFormat, match="s16le"):
        PipeSource(io.BytesIO(), encoding="opus")


@given(st.lists(st.integers(0, 3000), max_size=6), st.booleans(), st.booleans())
def test_an_iterator_in_any_cut_gives_the_same_samples(sizes, asynchronous, as_bytes):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 9000)).astype(np.float32)
    bounds = np.minimum(np.cumsum([0, *sizes, 9000]), 9000)
    blocks = [noise[:, a:b] for a, b in pairwise(bounds)]
    items = [encode_pcm(block, "f32le") for block in blocks] if as_bytes else blocks

    async def generator() -> AsyncIterator[Any]:
        for item in items:
            yield item

    async def scenario() -> None:
        given_blocks = generator() if asynchronous else items
        source = IteratorSource(given_blocks, rate=22_050, channels=2, encoding="f32le" if as_bytes else None)
        np.testing.assert_array_equal(timeline(await collect(source)), conditioned(noise, 22_050))

    asyncio.run(scenario(), debug=True)


async def test_cancelling_a_read_does_not_cancel_the_iterator():
    gate = asyncio.Event()

    async def generator() -> AsyncIterator[np.ndarray]:
        yield np.ones(10, np.float32)
        await gate.wait()
        yield np.ones(20, np.float32)

    async with IteratorSource(generator()) as source:
        assert (await anext(source)).end_sample == 10
        coming = asyncio.ensure_future(anext(source))
        await asyncio.sleep(0)
        coming.cancel()
        await asyncio.wait([coming])
        gate.set()
        assert (await anext(source)).end_sample == 30


async def test_leaving_an_iterator_closes_it():
    closed = asyncio.Event()

    async def generator() -> AsyncIterator[np.ndarray]:
        try:
            yield np.ones(10, np.float32)
            await asyncio.Event().wait()
        finally:
            closed.set()

    async with IteratorSource(generator()) as source:
        await anext(source)
        coming = asyncio.ensure_future(anext(source))
        await asyncio.sleep(0)
        coming.cancel()
    assert closed.is_set()


async def test_what_an_iterator_says_is_missing_becomes_a_gap():
    source = IteratorSource(
        [np.ones(480, np.int16), InputGap(4800, "packet loss"), np.ones(480, np.int16)], rate=48_000
    )
    events = await collect(source)
    assert [event for event in events if isinstance(event, Gap)] == [Gap(160, 1760, "packet loss")]
    assert len(timeline(events)) == 1920


async def test_an_error_of_the_iterator_is_raised_once_then_it_has_ended():
    async with IteratorSource([np.zeros(5, np.float32), np.array([np.nan], np.float32)], name="feed") as source:
        await anext(source)
        with pytest.raises(AudioNotFinite, match="'feed' has nan at sample 5"):
            await anext(source)
        assert await anext(source, None) is None


@pytest.mark.parametrize("blocks", [b"bytes", 7, np.float32(1)])
def test_what_is_not_an_iterable_of_blocks_is_refused(blocks):
    with pytest.raises(ConfigurationError, match="iterable of blocks"):
        IteratorSource(blocks)


@pytest.mark.parametrize("encoding", [None, "s16le"])
@pytest.mark.parametrize("together", [True, False], ids=["together", "one after the other"])
async def test_channels_split_from_a_live_source_are_the_channels(noise, encoding, together):
    content = encode_pcm(noise, "s16le")
    blocks: list[Any] = [content[start : start + 10_001] for start in range(0, len(content), 10_001)]
    if encoding is None:
        blocks = np.array_split(noise, 7, axis=1)
    first, second = split_channels(IteratorSource(blocks, rate=44_100, channels=2, encoding=encoding))
    if together:
        heard = await asyncio.gather(collect(first), collect(second))
    else:
        async with first, second:
            heard = [[event async for event in first], [event async for event in second]]
    for channel, events in enumerate(heard):
        np.testing.assert_array_equal(timeline(events), conditioned(noise, 44_100, channel))


async def test_a_channel_that_is_left_behind_reports_what_it_lost():
    blocks = [np.full((2, 1600), value, np.float32) for value in range(10)]
    fast, slow = split_channels(IteratorSource(blocks, channels=2), 2, buffer_s=0.3)
    async with fast, slow:
        assert len(timeline([event async for event in fast])) == 16_000
        late = [event async for event in slow]
    assert late[0] == Gap(0, 11_200, "overflow")
    assert timeline(late)[11_200:].tolist() == [value for value in (7, 8, 9) for _ in range(1600)]


async def test_an_error_of_the_input_reaches_every_channel():
    async def generator() -> AsyncIterator[np.ndarray]:
        yield np.zeros((2, 10), np.float32)
        raise OSError("gone")

    both = split_channels(IteratorSource(generator(), channels=2), 2)
    async with both[0], both[1]:
        for source in both:
            assert (await anext(source)).end_sample == 10
            with pytest.raises(OSError, match="gone"):
                await anext(source)


async def test_splitting_into_another_number_of_channels_is_refused():
    with pytest.raises(ConfigurationError, match="2 channels, not 3"):
        await split_channels(IteratorSource([], channels=2), 3)[0].__aenter__()
    with pytest.raises(ConfigurationError, match="how many channels"):
        split_channels(MicrophoneSource())
    with pytest.raises(ConfigurationError, match="give its path"):
        split_channels(FileSource(io.BytesIO()))

"""Files as sources: the same samples as when read whole, at the pace asked for."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from streamer.audio.chunks import Chunk
from streamer.audio.files import read_audio
from streamer.audio.sources import FileSource, split_channels
from streamer.errors import AudioEmpty, AudioNotFinite, AudioNotFound, AudioUnreadable, ConfigurationError


async def heard(source: Any) -> np.ndarray:
    """All samples of a source without gaps, whose chunks must be contiguous."""
    parts: list[np.ndarray] = []
    async with source:
        async for event in source:
            assert isinstance(event, Chunk)
            assert event.start_sample == sum(map(len, parts))
            parts.append(event.samples)
    return np.concatenate(parts)


async def test_a_file_streams_the_samples_it_has_when_read_whole(clip):
    np.testing.assert_array_equal(await heard(FileSource(clip)), read_audio(clip).mono_16k())


async def test_a_file_object_streams_too(noise):
    file = io.BytesIO()
    soundfile.write(file, noise.T, 44_100, format="WAV", subtype="FLOAT")
    source, expected = FileSource(file), read_audio(file).mono_16k()
    for _ in range(2):  # a source can be opened again
        np.testing.assert_array_equal(await heard(source), expected)


async def test_what_libsndfile_does_not_read_streams_through_pyav(tmp_path, noise):
    path = tmp_path / "clip.m4a"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44_100, layout="stereo")
        frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="stereo")
        frame.sample_rate = 44_100
        for part in [frame, None]:
            container.mux(stream.encode(part))
    np.testing.assert_array_equal(await heard(FileSource(path)), read_audio(path).mono_16k())


async def test_one_channel_can_be_chosen_and_all_be_split(clip):
    expected = [read_audio({"audio": clip, "channel": channel}).mono_16k() for channel in (0, 1)]
    np.testing.assert_array_equal(await heard(FileSource(clip, channel=1)), expected[1])
    both = split_channels(clip)
    assert len(both) == 2
    for samples, source in zip(expected, both, strict=True):
        np.testing.assert_array_equal(await heard(source), samples)


async def test_the_file_is_not_read_further_than_needed(clip, monkeypatch):
    frames: list[int] = []
    actual = soundfile.SoundFile.read

    def counted(self: soundfile.SoundFile, count: int, **options: Any) -> np.ndarray:
        frames.append(count)
        return actual(self, count, **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    async with FileSource(clip) as source:
        await anext(source)
    assert frames == [44_100]


@pytest.mark.parametrize(("options", "speed"), [({"realtime": True}, 1), ({"speed": 4}, 4)])
async def test_a_paced_file_comes_when_its_last_sample_would_be_heard(clip, fake_time, options, speed):
    began = fake_time.now
    async with FileSource(clip, **options, clock=fake_time.clock, sleep=fake_time.sleep) as source:
        while True:
            coming = asyncio.ensure_future(anext(source, None))
            sleeping = asyncio.ensure_future(fake_time.asleep())
            await asyncio.wait([coming, sleeping], return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                await fake_time.advance(await sleeping)
            sleeping.cancel()
            event = await coming
            if event is None:
                break
            assert event.samples.shape[0] <= 1800  # about 0.1 s at a time
            assert fake_time.now - began == pytest.approx(event.end_sample / 16_000 / speed, abs=1e-6)
    assert fake_time.now - began == pytest.approx(2.345 / speed, abs=1e-3)


async def test_a_reader_that_was_late_catches_up_without_waiting(clip, fake_time):
    async with FileSource(clip, realtime=True, clock=fake_time.clock, sleep=fake_time.sleep) as source:
        first = asyncio.ensure_future(anext(source))
        await fake_time.advance(1.05)
        events = [await first]
        while events[-1].end_sample < 15_000:
            events.append(await anext(source))  # would hang if it slept
        assert events[-1].end_sample <= 1.05 * 16_000


async def test_cancelling_a_read_anywhere_loses_nothing(clip, fake_time):
    expected, parts, turn = read_audio(clip).mono_16k(), [], 0
    async with FileSource(clip, realtime=True, clock=fake_time.clock, sleep=fake_time.sleep) as source:
        while sum(map(len, parts)) < len(expected):
            turn += 1
            coming = asyncio.ensure_future(anext(source))
            if turn % 3 == 0:  # while the file is being read
                await asyncio.sleep(0)
                coming.cancel()
            elif turn % 3 == 1:  # while it waits for its time
                await asyncio.wait([coming, asyncio.ensure_future(fake_time.asleep())], return_when="FIRST_COMPLETED")
                coming.cancel()
            else:
                waiting = asyncio.ensure_future(fake_time.advance(0.2))
                await asyncio.wait([coming, waiting], return_when="FIRST_COMPLETED")
                waiting.cancel()
            (event,) = await asyncio.gather(coming, return_exceptions=True)
            if isinstance(event, Chunk):
                assert event.start_sample == sum(map(len, parts))
                parts.append(event.samples)
    np.testing.assert_array_equal(np.concatenate(parts), expected)


async def test_leaving_in_the_middle_closes_the_file(clip):
    source = FileSource(clip)
    async with source:
        coming = asyncio.ensure_future(anext(source))
        await asyncio.sleep(0)
        coming.cancel()
    assert source._decoder is None
    with pytest.raises(ConfigurationError, match="async with"):
        await anext(source)


async def test_errors_of_the_file_are_raised_where_they_are_met(tmp_path):
    with pytest.raises(AudioNotFound):
        await FileSource(tmp_path / "nowhere.wav").__aenter__()
    empty = tmp_path / "empty.wav"
    soundfile.write(empty, np.zeros(0), 16_000)
    with pytest.raises(AudioEmpty):
        await heard(FileSource(empty))

    broken = tmp_path / "broken.wav"
    samples = np.zeros(40_000, np.float32)
    samples[39_000] = np.inf
    soundfile.write(broken, samples, 16_000, subtype="FLOAT")
    async with FileSource(broken) as source:
        assert (await anext(source)).end_sample == 16_000
        assert (await anext(source)).end_sample == 32_000
        with pytest.raises(AudioNotFinite, match=r"broken\.wav.*sample 39000"):
            await anext(source)
        assert await anext(source, None) is None


async def test_a_file_cut_short_gives_what_is_there_and_then_says_so(tmp_path):
    path = tmp_path / "cut.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 64_000), 16_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    async with FileSource(path) as source:
        assert (await anext(source)).end_sample == 16_000
        with pytest.raises(AudioUnreadable, match=r"cut\.flac.*cut short"):
            async for _ in source:
                pass


@pytest.mark.parametrize("options", [{"speed": 0}, {"speed": float("nan")}, {"speed": 2, "realtime": True}])
def test_a_pace_that_cannot_be_is_refused(options):
    with pytest.raises(ConfigurationError):
        FileSource("clip.wav", **options)


async def test_a_channel_that_is_not_there_is_refused_and_the_file_let_go(clip):
    source = FileSource(clip, channel=2)
    with pytest.raises(ConfigurationError, match="index from 0 to 1"):
        await source.__aenter__()
    assert source._decoder is None


async def test_a_source_that_is_open_is_not_opened_again(clip):
    async with FileSource(clip) as source:
        with pytest.raises(ConfigurationError, match="open already"):
            await source.__aenter__()

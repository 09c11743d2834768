"""Standard input: its first bytes decide what it is, and nothing is taken for what it is not."""

from __future__ import annotations

import io
import os
import struct

import numpy as np
import pytest
import soundfile
from containers import RATE, encoded, stamped, sweep, wav

from streamer.audio.files import read_audio
from streamer.audio.formats import encode_pcm
from streamer.audio.sources import StandardInputSource
from streamer.audio.sources.stdin import read_standard_input
from streamer.errors import AudioEmpty, AudioUnreadable

WHOLE = 2 * len(sweep())


def wave_header(tag: int, bits: int, channels: int, rate: int, size: int) -> bytes:
    """Of a WAV that goes on for as long as its writer likes."""
    frame = channels * bits // 8
    form = struct.pack("<HHIIHH", tag, channels, rate, rate * frame, frame, bits)
    return b"RIFF\xff\xff\xff\xffWAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", size)


async def heard(content: bytes) -> tuple[np.ndarray, str]:
    source = StandardInputSource(file=io.BytesIO(content))
    async with source:
        parts = [event.samples async for event in source]
    return np.concatenate(parts), source.taken_for


@pytest.mark.parametrize(
    "content",
    [wav(WHOLE), wav(RATE), encoded("FLAC"), encoded("OGG", "OPUS"), encoded("MP3"), encoded("AIFF"),
     stamped("webm", "libopus", lambda k: k), stamped("mp4", "aac", lambda k: k)],
    ids=["WAV", "WAV of a wrong length", "FLAC", "Opus", "MP3", "AIFF", "WebM", "MP4"],
)  # fmt: skip
async def test_an_audio_file_is_decoded_as_if_it_had_been_named(content):
    samples, taken_for = await heard(content)
    np.testing.assert_array_equal(samples, read_audio(io.BytesIO(content)).mono_16k())
    assert taken_for.startswith("an audio file")
    assert read_audio(read_standard_input(io.BytesIO(content))).duration == read_audio(io.BytesIO(content)).duration


@pytest.mark.parametrize("size", [0, 0x7FFF_FFFF, 0xFFFF_FFFF])
@pytest.mark.parametrize(("tag", "bits", "encoding"), [(1, 16, "s16le"), (1, 24, "s24le"), (3, 32, "f32le")])
async def test_a_wav_that_is_still_written_is_heard_as_it_comes(size, tag, bits, encoding):
    read, write = os.pipe()
    voice = sweep(48_000)[None]
    with os.fdopen(read, "rb", buffering=0) as end, os.fdopen(write, "wb", buffering=0) as begin:
        begin.write(wave_header(tag, bits, 1, 48_000, size) + encode_pcm(voice[:, :3000], encoding))
        source = StandardInputSource(file=end)
        async with source:
            begin.write(encode_pcm(voice[:, 3000:9000], encoding))
            first = await anext(source)  # while the pipe is open, and nothing more has come
            assert first.start_sample == 0
            begin.close()
            rest = [event.samples async for event in source]
    got = np.concatenate([first.samples, *rest])
    expected = read_audio(voice[:, :9000], 48_000).mono_16k()
    np.testing.assert_allclose(got, expected, atol=2e-4)


async def test_what_begins_like_no_file_is_raw_pcm():
    content = encode_pcm(sweep(), "s16le")
    samples, taken_for = await heard(content)
    np.testing.assert_allclose(samples, sweep(), atol=1e-4)
    assert taken_for == "raw PCM, s16le at 16000 Hz, one channel"
    silence, _ = await heard(bytes(64_000))
    assert len(silence) == 32_000


@pytest.mark.parametrize("first", [b"\xff\xfb\x90\x00", b"\xff\xf1\x50\x80", b"\x00\x00\x01\x00"], ids=bytes.hex)
async def test_samples_that_look_like_one_frame_of_a_codec_are_samples(first):
    samples, _ = await heard(first + encode_pcm(sweep(), "s16le"))
    assert len(samples) == len(sweep()) + 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a letter\n" * 50, "is text"),
        ("Liebe Zoë, das ist kein Klang.\n".encode() * 300, "is text"),
        (b"%PDF-1.4" + bytes(99), "a PDF document"),
        (b"PK\x03\x04" + bytes(99), "a ZIP archive"),
        (b"\x1f\x8b\x08" + bytes(99), "a gzip archive"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "a PNG picture"),
        (b"<!doctype html><html><body>404</body></html>", "is text"),
        (b'{"error": "not found"}', "is text"),
    ],
    ids=["letter", "umlauts", "PDF", "ZIP", "gzip", "PNG", "HTML", "JSON"],
)
async def test_what_is_no_audio_is_refused_with_the_way_out(content, words):
    with pytest.raises(AudioUnreadable, match=rf"standard input .*{words}.*ffmpeg -i FILE"):
        await heard(content)


async def test_nothing_at_all_is_refused():
    with pytest.raises(AudioEmpty, match=r"0 bytes"):
        await heard(b"")


def test_whole_recordings_are_never_guessed_from_raw_pcm():
    with pytest.raises(AudioUnreadable, match=r"Raw PCM needs a description: ffmpeg -f s16le"):
        read_standard_input(io.BytesIO(bytes(1000)))


async def test_a_recording_is_paced_as_a_file_is(fake_time):
    file = io.BytesIO()
    soundfile.write(file, sweep(), RATE, format="WAV")
    file.seek(0)
    source = StandardInputSource(file=file, speed=1e6)
    async with source:
        assert (await anext(source)).end_sample == RATE // 10

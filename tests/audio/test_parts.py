"""All the audio that is in a file is read, whatever its header says of it, or it is refused with numbers."""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from containers import RATE, SECONDS, encoded, patched, stamped, sweep, wav
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.audio.chunks import Chunk, Gap
from streamer.audio.decode import open_decoder
from streamer.audio.files import read_audio
from streamer.audio.parts.mpeg import frame_at
from streamer.audio.sources import FileSource
from streamer.errors import AudioUnreadable, StreamerError

LIST = b"LIST" + struct.pack("<I", 4) + b"INFO"
ID3 = b"ID3\x04\0\0\0\0\x07\x76" + bytes(7 * 128 + 0x76)
WHOLE = round(2 * SECONDS * RATE)
FLAC, MP3 = encoded("FLAC"), encoded("MP3")
NOISE = np.random.default_rng(0).normal(0, 0.3, round(SECONDS * RATE)).astype(np.float32)


def without_xing(mp3: bytes) -> bytes:
    """The frames of a file without the one that says how many there are."""
    found = frame_at(mp3, 0)
    assert found is not None
    return mp3[found[1] :]


def flac_of(total: int) -> bytes:
    """A FLAC whose STREAMINFO says so many samples."""
    return FLAC[:21] + bytes([FLAC[21] & 0xF0]) + struct.pack(">I", total) + FLAC[26:]


def seconds(content: bytes) -> float:
    return read_audio(io.BytesIO(content)).duration


JOINED = {
    "FLAC": FLAC,
    "FLAC with tags": ID3 + FLAC,
    "FLAC that does not know its length": flac_of(0),
    "WAV": wav(WHOLE),
    "WAV of length 0": wav(0),
    "WAV that does not know its length": wav(0xFFFF_FFFF),
    "WAV with the first block's length": wav(RATE),
    "WAV with chunks after its audio": wav(WHOLE, LIST),
    "RF64": encoded("RF64"),
    "AIFF": encoded("AIFF"),
    "AU": encoded("AU"),
    "CAF": encoded("CAF"),
    "Wave64": encoded("W64"),
    "Ogg Vorbis": encoded("OGG", "VORBIS"),
    "Ogg Opus": encoded("OGG", "OPUS"),
    "MP3": MP3,
    "MP3 with tags": ID3 + MP3 + b"TAG" + bytes(125),
}


@pytest.mark.parametrize("name", JOINED)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_all_of_several_recordings_in_one_file_is_read(name, count):
    audio = read_audio(io.BytesIO(JOINED[name] * count))
    assert audio.duration == pytest.approx(count * SECONDS, abs=0.05)
    # Each of them is the sweep, and at its place.
    if "MP3" not in name and "Ogg" not in name:
        for start in range(0, count * len(sweep()), len(sweep())):
            heard = audio.waveform[0, start : start + len(sweep())]
            np.testing.assert_allclose(heard, sweep(), atol=1e-3)


def test_recordings_of_several_kinds_may_be_joined():
    assert seconds(wav(WHOLE) + encoded("OGG", "VORBIS") + encoded("AIFF") + FLAC) == pytest.approx(12, abs=0.05)


def test_recordings_that_differ_in_rate_are_refused_with_both_rates():
    with pytest.raises(AudioUnreadable, match=r"1 channel\(s\) at 16000 Hz, and from byte 96044 on 1 at 44100 Hz"):
        seconds(wav(WHOLE) + encoded("WAV", rate=44_100))


@pytest.mark.parametrize("announced", [0, 2, 32_000, 0x7FFF_FFFF, 0xFFFF_FFFF])
@pytest.mark.parametrize("tail", [b"", b"\0", b"TAG" + bytes(125)], ids=["nothing", "a byte", "ID3v1"])
def test_a_wav_is_read_to_its_end_whatever_length_it_has_been_given(announced, tail):
    heard = read_audio(io.BytesIO(wav(announced, tail))).waveform[0]
    assert len(heard) - len(sweep()) in ((0, 64) if announced > WHOLE else (0,))
    np.testing.assert_allclose(heard[: len(sweep())], sweep(), atol=1e-4)


@pytest.mark.parametrize("tail", [LIST, b"id3 " + struct.pack("<I", 10) + bytes(10), b"TAG" + bytes(125)], ids=str)
def test_what_stands_after_the_audio_of_a_wav_is_not_heard(tail):
    assert seconds(wav(WHOLE, tail)) == SECONDS


def test_a_second_block_of_audio_in_a_wav_is_heard():
    audio = (sweep() * 32767).astype("<i2").tobytes()
    assert seconds(wav(WHOLE, LIST + b"data" + struct.pack("<I", len(audio)) + audio)) == 2 * SECONDS


def test_bytes_that_belong_to_nothing_are_counted_and_refused():
    with pytest.raises(AudioUnreadable, match="10000 bytes after its last chunk, at byte 96056"):
        seconds(wav(WHOLE, LIST + b"x" * 10_000))


@pytest.mark.parametrize("subtype", ["ULAW", "FLOAT", "PCM_24", "IMA_ADPCM", "GSM610"])
def test_a_wav_of_any_coding_is_read_to_its_end(subtype):
    content = encoded("WAV", subtype)
    assert seconds(patched(content, b"data", 4, struct.pack("<I", 4160))) == seconds(content)


@pytest.mark.parametrize("size", [0, 32_000, 2**64 - 1])
def test_an_rf64_is_read_to_its_end(size):
    assert seconds(patched(encoded("RF64"), b"ds64", 16, struct.pack("<Q", size))) == SECONDS


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT", "ULAW"])
@pytest.mark.parametrize(("field", "offset"), [(b"SSND", 4), (b"COMM", 10)], ids=["size", "frames"])
@pytest.mark.parametrize("value", [0, 16_008, 0x7FFF_FFFF])
def test_an_aiff_is_read_to_its_end(subtype, field, offset, value):
    assert seconds(patched(encoded("AIFF", subtype), field, offset, struct.pack(">I", value))) == SECONDS


@pytest.mark.parametrize("value", [0, 16_000, 0xFFFF_FFFF])
def test_an_au_is_read_to_its_end(value):
    assert seconds(patched(encoded("AU"), b".snd", 8, struct.pack(">I", value))) == SECONDS


@pytest.mark.parametrize("value", [-1, 0, 16_004])
def test_a_caf_is_read_to_its_end(value):
    assert seconds(patched(encoded("CAF"), b"data", 4, struct.pack(">q", value))) == SECONDS


@pytest.mark.parametrize("total", [0, 1, 16_000])
def test_a_flac_is_read_to_its_end_whatever_number_of_samples_it_announces(total):
    heard = read_audio(io.BytesIO(flac_of(total))).waveform[0]
    np.testing.assert_allclose(heard, sweep(), atol=1e-4)


@pytest.mark.parametrize("tail", [b"junk" * 100, bytes(1000), b"APETAGEX" + bytes(200)], ids=["text", "zeros", "APE"])
def test_bytes_after_a_flac_do_not_matter(tail):
    assert seconds(FLAC + tail) == SECONDS


def test_an_mp3_without_a_table_is_read_to_its_end():
    """libmpg123 takes the bit rate of the first frame for that of all."""
    loud, quiet = (without_xing(encoded("MP3", samples=samples)) for samples in (NOISE, 0 * NOISE))
    assert seconds(loud + quiet * 10) == pytest.approx(11 * 86 * 576 / RATE, abs=0.1)


def test_frames_after_those_that_an_mp3_announces_are_read():
    assert seconds(MP3 + without_xing(MP3)) == pytest.approx(2 * SECONDS, abs=0.15)
    junk = bytes(np.random.default_rng(1).integers(0, 256, 100_000, np.uint8))
    assert seconds(MP3 + junk + MP3) == pytest.approx(2 * SECONDS, abs=0.05)


CUT = {
    "FLAC": (FLAC[: len(FLAC) // 2], r"24576 of the 48000 samples"),
    "FLAC that does not know its length": (flac_of(0)[:-50], r"its last frame, after 45056 samples, is not whole"),
    "the second FLAC": (FLAC + FLAC[:-100], r"cut short"),
    "FLAC that announces more": (flac_of(90_000), r"48000 of the 90000 samples"),
    "WAV": (wav(WHOLE + 1000), r"96000 of the 97000 bytes"),
    "RF64": (patched(encoded("RF64"), b"ds64", 16, struct.pack("<Q", 10**6)), r"96000 of the 1000000 bytes"),
    "AIFF": (encoded("AIFF")[:-1000], r"95000 of the 96000 bytes"),
    "AU": (encoded("AU")[:-1000], r"95000 of the 96000 bytes"),
    "CAF": (encoded("CAF")[:-1000], r"of the 96004 bytes"),
    "Ogg Vorbis": (encoded("OGG", "VORBIS")[:-300], r"bytes of its last page"),
    "Ogg Opus": (encoded("OGG", "OPUS")[:-300], r"bytes of its last page"),
    "MP3": (encoded("MP3", samples=NOISE)[:6000], r"39 of the 86 frames"),
    "WebM": (stamped("webm", "libopus", lambda k: k)[:20_000], r"bytes of its segment of \d+ are not there"),
}


@pytest.mark.parametrize("name", CUT)
def test_what_was_cut_is_refused_with_what_is_there_and_what_should_be(name):
    content, words = CUT[name]
    with pytest.raises(AudioUnreadable, match=words):
        seconds(content)


async def test_what_is_there_of_a_cut_file_is_streamed_before_it_is_said(tmp_path):
    path = tmp_path / "cut.flac"
    path.write_bytes(FLAC[: len(FLAC) // 2])
    async with FileSource(path) as source:
        heard = [await anext(source), await anext(source)]
        with pytest.raises(AudioUnreadable, match=r"cut\.flac.*24576 of the 48000"):
            await anext(source)
    assert heard[-1].end_sample == 24_576


@pytest.mark.parametrize("block", [1000, 16_000, 65_536])
@pytest.mark.parametrize("name", ["MP3", "Ogg Vorbis", "Ogg Opus", "FLAC", "WAV"])
def test_any_blocks_give_the_samples_of_the_file(tmp_path, name, block):
    path = tmp_path / "clip"
    path.write_bytes(JOINED[name])
    for file in (path, io.BytesIO(JOINED[name])):
        decoder, parts = open_decoder(file), []
        while (part := decoder.read(block)).shape[1]:
            parts.append(part)
        decoder.close()
        whole, _ = soundfile.read(path, dtype="float32")
        # A lossy decoder rounds a block's ends one way or the other.
        np.testing.assert_allclose(np.concatenate(parts, axis=1)[0], whole, rtol=0, atol=1e-6)


BASES = [encoded(kind) for kind in ("WAV", "AIFF", "AU", "CAF", "RF64")] + [FLAC, MP3, encoded("OGG", "OPUS")]


@settings(max_examples=150)
@given(st.data())
def test_damaged_headers_are_refused_or_read_and_nothing_else(data):
    content = bytearray(data.draw(st.sampled_from(BASES)))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, 120))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))] + data.draw(st.sampled_from([b"", *BASES]))
    with suppress(StreamerError):
        read_audio(io.BytesIO(content))


# Time stamps

CONTAINERS = [
    ("webm", "libopus"),
    ("matroska", "aac"),
    ("mp4", "aac"),
    ("mp4", "libopus"),
    ("mpegts", "aac"),
    ("flv", "aac"),
    ("ogg", "libopus"),
    ("ogg", "flac"),
]


def paused(pause_s: float, at_s: float = 2.0) -> object:
    return lambda k: k + (round(pause_s * 48_000) if k >= at_s * 48_000 else 0)


@pytest.mark.parametrize(("kind", "codec"), CONTAINERS)
@pytest.mark.parametrize("pause_s", [0.2, 5.0, 700.0])
def test_a_pause_in_a_container_is_silence_where_it_was(kind, codec, pause_s):
    audio = read_audio(io.BytesIO(stamped(kind, codec, paused(pause_s))))
    assert audio.duration == pytest.approx(4.0 + pause_s, abs=0.12)
    middle = round((2.05 + pause_s / 2) * audio.sample_rate)
    assert np.abs(audio.waveform[0, middle : middle + 1000]).max() == 0
    assert np.abs(audio.waveform[0, -round(audio.sample_rate) :]).max() > 0.2


@pytest.mark.parametrize(("kind", "codec"), CONTAINERS)
async def test_a_pause_in_a_container_is_a_gap_of_the_stream(tmp_path, kind, codec):
    path = tmp_path / f"paused.{kind}"
    path.write_bytes(stamped(kind, codec, paused(5.0)))
    async with FileSource(path) as source:
        events = [event async for event in source]
    (gap,) = [event for event in events if isinstance(event, Gap)]
    assert gap.reason == "time stamps"
    assert gap.end_sample - gap.start_sample == pytest.approx(5 * 16_000, abs=800)
    assert gap.start_sample == pytest.approx(2 * 16_000, abs=2400)
    assert all(after.start_sample == before.end_sample for before, after in pairwise(events))
    samples = [
        event.samples if isinstance(event, Chunk) else np.zeros(event.end_sample - event.start_sample)
        for event in events
    ]
    assert sum(map(len, samples)) == pytest.approx(read_audio(path).duration * 16_000, abs=2)


def test_silences_that_a_coder_left_out_one_by_one_add_up():
    content = stamped("webm", "libopus", lambda k: k + 960 * (k // 9600))  # a fifth of a second, then 20 ms of nothing
    assert seconds(content) == pytest.approx(4.0 + 19 * 0.02, abs=0.06)


def test_stamps_that_waver_do_not_change_the_time():
    wavering = np.random.default_rng(0).integers(-1200, 1200, 1000)
    content = stamped("matroska", "aac", lambda k: 4800 + k + int(wavering[k // 1024]) // 3)
    assert seconds(content) == pytest.approx(4.0, abs=0.06)


@pytest.mark.parametrize("count", [2, 3])
def test_stamps_that_begin_anew_lose_nothing(count):
    """Files that were joined, or a camera that was switched off: what counts from zero again goes on here."""
    for kind, codec in (("webm", "libopus"), ("mpegts", "aac"), ("mp4", "aac"), ("flv", "aac")):
        content = stamped(kind, codec, lambda k: k)
        assert seconds(content * count) == pytest.approx(count * seconds(content), abs=0.1 * count)


def test_a_jump_that_no_pause_is_long_enough_for_is_refused():
    with pytest.raises(AudioUnreadable, match="jump by 100000 s after 2"):
        seconds(stamped("matroska", "aac", paused(100_000.0)))

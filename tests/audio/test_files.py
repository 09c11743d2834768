"""Reading audio whole: every input means the same samples, and every bad one has its error."""

from __future__ import annotations

import builtins
import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamer.audio.chunks import SAMPLE_RATE as RATE
from streamer.audio.files import Audio, crop, read_audio
from streamer.audio.resample import resampled_length
from streamer.errors import (
    AudioEmpty,
    AudioNotFinite,
    AudioNotFound,
    AudioUnreadable,
    ConfigurationError,
    MissingDependency,
    SegmentOutOfRange,
)


def tone(seconds: float = 0.5, rate: int = RATE, channels: int = 1, hz: float = 440.0) -> np.ndarray:
    """(channels, samples): a tone, each channel at another level."""
    times = np.arange(round(seconds * rate)) / rate
    return np.stack([0.4 / (c + 1) * np.sin(2 * np.pi * hz * times) for c in range(channels)]).astype(np.float32)


@pytest.fixture
def stereo_wav(tmp_path):
    path = tmp_path / "stereo.wav"
    soundfile.write(path, tone(channels=2).T, RATE, subtype="FLOAT")
    return path


def write_pyav(path: Path, waveform: np.ndarray, rate: int, codec: str) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(waveform, format="fltp", layout="mono")
        frame.sample_rate = rate
        for part in [frame, None]:
            container.mux(stream.encode(part))


def test_every_kind_of_input_gives_the_same_samples(stereo_wav):
    expected = tone(channels=2)
    with stereo_wav.open("rb") as opened:
        for file in [
            stereo_wav,
            str(stereo_wav),
            opened,
            {"audio": stereo_wav},
            {"audio": io.BytesIO(stereo_wav.read_bytes())},
            {"waveform": expected, "sample_rate": RATE},
            {"waveform": torch.from_numpy(expected), "sample_rate": RATE},
        ]:
            audio = read_audio(file)
            assert audio.sample_rate == RATE
            np.testing.assert_array_equal(audio.waveform, expected)
    np.testing.assert_array_equal(read_audio(expected, sample_rate=RATE).waveform, expected)
    np.testing.assert_array_equal(read_audio(expected[0], sample_rate=RATE).waveform, expected[:1])


def test_a_file_object_is_read_from_its_start_and_rewound(stereo_wav):
    file = io.BytesIO(stereo_wav.read_bytes())
    file.seek(0, io.SEEK_END)
    first = read_audio(file)
    np.testing.assert_array_equal(read_audio(file).waveform, first.waveform)


def test_a_file_object_that_cannot_seek_is_read(stereo_wav):
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    np.testing.assert_array_equal(read_audio(Pipe(stereo_wav.read_bytes())).waveform, tone(channels=2))


def test_a_named_pipe_is_read(stereo_wav, tmp_path):
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(stereo_wav.read_bytes()))
    writer.start()
    np.testing.assert_array_equal(read_audio(pipe).waveform, tone(channels=2))
    writer.join()


@pytest.mark.parametrize(
    ("suffix", "options", "lossless"),
    [
        ("wav", {}, True),
        ("flac", {}, True),
        ("ogg", {}, False),
        ("opus", {"format": "OGG", "subtype": "OPUS"}, False),
        ("mp3", {}, False),
        ("aiff", {}, True),
    ],
)
def test_the_formats_of_libsndfile_are_read(tmp_path, suffix, options, lossless):
    path = tmp_path / f"clip.{suffix}"
    soundfile.write(path, tone(1.0)[0], RATE, **options)
    audio = read_audio(path)
    assert audio.num_samples == pytest.approx(RATE, abs=1 if lossless else 1200)
    if lossless:  # one step of 16 bit
        np.testing.assert_allclose(audio.waveform, tone(1.0), atol=2**-15)


@pytest.mark.parametrize(("suffix", "codec", "rate"), [("m4a", "aac", 44_100), ("webm", "libopus", 48_000)])
def test_other_formats_are_read_through_pyav(tmp_path, suffix, codec, rate):
    path = tmp_path / f"clip.{suffix}"
    write_pyav(path, tone(1.0, rate), rate, codec)
    for file in (path, io.BytesIO(path.read_bytes())):
        audio = read_audio(file)
        assert audio.sample_rate == rate
        assert audio.duration == pytest.approx(1.0, abs=0.06)
        # It is that tone: the strongest bin of the spectrum is at 440 Hz.
        spectrum = np.abs(np.fft.rfft(audio.waveform[0][: rate // 2]))
        assert np.argmax(spectrum) * 2 == pytest.approx(440, abs=4)


def test_a_title_that_is_not_utf_8_does_not_matter(tmp_path):
    path = tmp_path / "clip.m4a"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "TITLE-TITLE"
        stream = container.add_stream("aac", rate=44_100, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(0.2, 44_100), format="fltp", layout="mono")
        frame.sample_rate = 44_100
        for part in [frame, None]:
            container.mux(stream.encode(part))
    content = path.read_bytes()
    assert content.count(b"TITLE-TITLE") == 1
    assert read_audio(io.BytesIO(content.replace(b"TITLE-TITLE", b"\xff\xfe\xfdLE-\xe9ITLE"))).num_samples > 8000


def test_without_pyav_the_message_names_the_extra(tmp_path, monkeypatch):
    path = tmp_path / "clip.m4a"
    write_pyav(path, tone(0.2, 44_100), 44_100, "aac")
    actual = builtins.__import__

    def without_av(name: str, *args: object, **kwargs: object) -> object:
        if name == "av":
            raise ImportError("No module named 'av'")
        return actual(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_av)
    with pytest.raises(MissingDependency, match=r"clip\.m4a.*speaker-streamer\[media\]"):
        read_audio(path)


def test_integer_pcm_is_scaled_to_full_scale_one():
    pcm = np.array([-32768, 0, 16384], np.int16)
    np.testing.assert_array_equal(read_audio(pcm, sample_rate=RATE).waveform, [[-1.0, 0.0, 0.5]])
    np.testing.assert_array_equal(read_audio(np.array([0, 128], np.uint8), sample_rate=RATE).waveform, [[-1.0, 0.0]])


def test_mono_is_the_mean_of_the_channels(stereo_wav):
    waveform = tone(channels=2)
    np.testing.assert_array_equal(read_audio(stereo_wav).mono_16k(), (waveform[0] + waveform[1]) / 2)


def test_one_channel_can_be_chosen(stereo_wav):
    np.testing.assert_array_equal(read_audio({"audio": stereo_wav, "channel": 1}).waveform, tone(channels=2)[1:])
    with pytest.raises(ConfigurationError, match=r"channel=2.*channels 0 to 1"):
        read_audio({"audio": stereo_wav, "channel": 2})


@given(rate=st.sampled_from([8000, 11_025, 22_050, 44_100, 48_000, 96_000, 7919]), samples=st.integers(1, 5000))
def test_resampling_gives_the_documented_number_of_samples(rate, samples):
    audio = Audio(np.zeros((1, samples), np.float32), rate, "zeros")
    assert len(audio.mono_16k()) == resampled_length(samples, rate) == int(samples * RATE / rate + 0.5)


@pytest.mark.parametrize("rate", [8000, 44_100, 48_000])
def test_resampling_keeps_time(rate):
    resampled = Audio(tone(1.0, rate), rate, "tone").mono_16k()
    # The filter's edges ring; inside of them a tone is the same tone (HQ: 20 bit, so far below 1e-4).
    np.testing.assert_allclose(resampled[1000:-1000], tone(1.0)[0][1000:-1000], atol=1e-4)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"", AudioUnreadable, "not audio"),
        (b"this is a letter, not a sound\n" * 100, AudioUnreadable, "not audio"),
    ],
    ids=["no bytes", "text"],
)
def test_what_is_not_audio_is_named(tmp_path, content, error, message):
    path = tmp_path / "letter.wav"
    path.write_bytes(content)
    with pytest.raises(error, match=rf"letter\.wav.*{message}"):
        read_audio(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(AudioNotFound, match=r"nowhere\.wav"):
        read_audio(tmp_path / "nowhere.wav")
    with pytest.raises(FileNotFoundError):
        read_audio("nowhere.wav")


def test_a_directory_is_named(tmp_path):
    with pytest.raises(AudioUnreadable, match="is a directory"):
        read_audio(tmp_path)


def test_a_video_without_sound_says_so(tmp_path):
    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(AudioUnreadable, match=r"silent\.mp4.*no audio in it \(only video\)"):
        read_audio(path)


@pytest.mark.parametrize("as_path", [True, False], ids=["path", "file object"])
def test_a_playlist_does_not_open_what_it_names(stereo_wav, tmp_path, as_path):
    write_pyav(tmp_path / "segment.aac", tone(0.5), RATE, "aac")
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n"
        f"#EXTINF:0.5,\nfile://{tmp_path}/segment.aac\n#EXT-X-ENDLIST\n"
    )
    with pytest.raises(AudioUnreadable):
        read_audio(playlist if as_path else io.BytesIO(playlist.read_bytes()))


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_file_cut_short_is_refused(tmp_path, suffix):
    path = tmp_path / f"cut.{suffix}"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, RATE)  # does not compress to nothing
    soundfile.write(path, noise, RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioUnreadable, match=rf"cut\.{suffix}.*cut short"):
        read_audio(path)


def test_a_wav_written_to_a_pipe_is_read_although_its_header_does_not_know_its_length(stereo_wav):
    content = bytearray(stereo_wav.read_bytes())
    data = content.index(b"data")
    content[data + 4 : data + 8] = content[4:8] = b"\xff\xff\xff\xff"
    np.testing.assert_array_equal(read_audio(io.BytesIO(content)).waveform, tone(channels=2))


def test_audio_of_zero_length_is_refused(tmp_path):
    path = tmp_path / "empty.wav"
    soundfile.write(path, np.zeros(0), RATE)
    with pytest.raises(AudioEmpty, match=r"empty\.wav.*no samples"):
        read_audio(path)
    with pytest.raises(AudioEmpty):
        read_audio(np.zeros((1, 0), np.float32), sample_rate=RATE)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_sample_that_is_not_finite_is_named(tmp_path, value):
    waveform = tone(channels=2).copy()
    waveform[1, 4000] = waveform[0, 5000] = value
    path = tmp_path / "broken.wav"
    soundfile.write(path, waveform.T, RATE, subtype="FLOAT")
    with pytest.raises(AudioNotFinite, match=rf"broken\.wav.*{value}.*sample 4000 \(0\.250 s, channel 1\)"):
        read_audio(path)


@pytest.mark.parametrize(
    ("file", "sample_rate", "message"),
    [
        (np.zeros(100, np.float32), None, "sample_rate="),
        (np.zeros(100, np.float32), 10, "10 Hz"),
        (np.zeros(100, np.float32), 16_000.5, r"16000\.5 Hz"),
        (np.zeros((1, 1, 100), np.float32), RATE, "shape"),
        (np.zeros((100, 2), np.float32), RATE, "transpose"),
        (np.zeros(100, complex), RATE, "complex128"),
        ({"waveform": np.zeros(100, np.float32)}, None, "sample_rate"),
        ({"path": "a.wav"}, None, "path"),
        (42, None, "int"),
        (io.StringIO("text"), None, "binary"),
        ("a.wav", RATE, "has its own rate"),
    ],
)
def test_an_input_that_cannot_work_says_what_would(file, sample_rate, message):
    with pytest.raises(ConfigurationError, match=message):
        read_audio(file, sample_rate)


def test_headerless_pcm_is_not_guessed_at(tmp_path):
    path = tmp_path / "clip.raw"
    path.write_bytes(bytes(1000))
    with pytest.raises(AudioUnreadable, match="raw PCM"):
        read_audio(path)


class TestCrop:
    audio = Audio(np.arange(44_100, dtype=np.float32)[None], 44_100, "ramp.wav")

    @given(st.floats(0, 1), st.floats(0, 1))
    def test_cuts_at_the_nearest_samples_of_the_audios_own_rate(self, start, end):
        first, last = round(start * 44_100), round(end * 44_100)
        if first < last:
            np.testing.assert_array_equal(crop(self.audio, start, end).waveform[0], np.arange(first, last))
        else:
            with pytest.raises(SegmentOutOfRange, match="no samples"):
                crop(self.audio, start, end)

    def test_forgives_an_end_one_sample_late(self):
        assert crop(self.audio, 0.5, 1 + 1 / 44_100).num_samples == 22_050

    @pytest.mark.parametrize(
        ("start", "end", "message"),
        [
            (-0.1, 0.5, "before 0"),
            (0.5, 1.1, r"ends after the audio; end it at 1\.000 s"),
            (2.0, 3.0, "ends after"),
            (0.5, 0.5, "no samples"),
            (0.6, 0.5, "no samples"),
            (0.0, float("inf"), "finite"),
            (float("nan"), 0.5, "finite"),
        ],
    )
    def test_refuses_a_segment_outside_or_empty(self, start, end, message):
        with pytest.raises(SegmentOutOfRange, match=rf"ramp\.wav.*{message}"):
            crop(self.audio, start, end)


def test_reading_audio_does_not_import_torch():
    code = "import sys, streamer.audio.files; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

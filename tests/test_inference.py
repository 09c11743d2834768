"""`Inference`: what its settings, inputs and errors mean. Its numbers are in models/test_parity.py."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from streamer import Inference, Model, Segment, SlidingWindowFeature
from streamer.audio.chunks import SAMPLE_RATE as RATE
from streamer.errors import (
    AudioEmpty,
    AudioError,
    AudioNotFinite,
    AudioNotFound,
    AudioTooShort,
    AudioUnreadable,
    ConfigurationError,
    SegmentOutOfRange,
)
from streamer.inference import cut


def file_of(samples: np.ndarray, rate: int = RATE) -> dict[str, Any]:
    return {"waveform": samples, "sample_rate": rate, "uri": "clip"}


def assert_close(actual: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(actual, expected, atol=1e-4 * np.abs(expected).max())


@given(st.integers(0, 60), st.integers(1, 20), st.data())
def test_windows_are_cut_as_pyannote_does(count, size, data):
    step = data.draw(st.integers(1, size))
    samples = torch.arange(1.0, count + 1)
    windows, tail = cut(samples, size, step)
    # The plain definition: complete windows, then one for what they do not reach, filled up with zeros.
    complete = [samples[start : start + size] for start in range(0, count - size + 1, step)]
    assert [window.tolist() for window in windows] == [window.tolist() for window in complete]
    last_end = (len(complete) - 1) * step + size if complete else 0
    assert len(tail) == (1 if last_end < count or not complete else 0)
    if len(tail):
        rest = samples[len(complete) * step :].tolist()
        assert tail[0].tolist() == rest + [0.0] * (size - len(rest))


@pytest.fixture
def wav(tmp_path, voice):
    path = tmp_path / "voice.wav"
    soundfile.write(path, voice[0], RATE, subtype="FLOAT")
    return path


def test_every_kind_of_input_gives_the_same_embedding(local_model, voice, wav):
    inference = Inference(local_model, window="whole")
    expected = inference(str(wav))
    assert isinstance(expected, np.ndarray)
    assert expected.shape == (1, local_model.dimension)
    assert expected.dtype == np.float32
    inputs: list[Any] = [
        wav,
        io.BytesIO(wav.read_bytes()),
        {"audio": wav},
        {"audio": str(wav), "uri": "x"},
        file_of(voice),
        file_of(torch.from_numpy(voice)),  # type: ignore[arg-type]
        file_of(np.concatenate([voice * 1.5, voice * 0.5])),
    ]
    for file in inputs:
        assert_close(inference(file), expected)
    assert_close(inference(voice, sample_rate=RATE), expected)
    assert_close(inference(voice[0], sample_rate=RATE), expected)


def test_a_distance_is_one_line_of_scipy(local_model, wav):
    inference = Inference(local_model, window="whole")
    distance = cdist(inference(wav), inference(wav), metric="cosine")[0, 0]
    assert distance == pytest.approx(0, abs=1e-6)


def test_another_sample_rate_gives_nearly_the_same_embedding(pyannote_model, voice):
    import soxr

    inference = Inference(pyannote_model, window="whole")
    high = soxr.resample(voice[0], RATE, 44_100)
    cosine = 1 - cdist(inference(file_of(voice)), inference(file_of(high, 44_100)), metric="cosine")[0, 0]
    assert cosine > 0.99


def test_sliding_windows_know_their_times(local_model, voice):
    inference = Inference(local_model, window="sliding", duration=2.0, step=0.5)
    result = inference(file_of(voice))
    assert isinstance(result, SlidingWindowFeature)
    assert result.data.shape == (7, local_model.dimension)
    assert result.data.dtype == np.float32
    assert result.sliding_window[3] == Segment(1.5, 3.5)
    whole = Inference(local_model, window="whole")
    assert_close(result.data[3:4], whole.crop(file_of(voice), Segment(1.5, 3.5)))


def test_the_batch_size_changes_nothing(local_model, voice):
    reference = Inference(local_model, duration=2.0, step=0.4)(file_of(voice))
    for batch_size in (1, 3):
        result = Inference(local_model, duration=2.0, step=0.4, batch_size=batch_size)(file_of(voice))
        assert_close(result.data, reference.data)


def test_defaults_are_three_seconds_and_a_tenth_of_it(local_model):
    inference = Inference(local_model)
    assert (inference.window, inference.duration, inference.step) == ("sliding", 3.0, pytest.approx(0.3))
    assert inference.batch_size == 32


def test_a_segment_is_cut_and_several_are_joined(local_model, voice):
    inference = Inference(local_model, window="whole")
    segments = [Segment(0.5, 1.25), Segment(3, 4)]
    joined = np.concatenate([voice[:, 8_000:20_000], voice[:, 48_000:64_000]], axis=1)
    assert_close(inference.crop(file_of(voice), segments), inference(file_of(joined)))
    assert_close(inference.crop(file_of(voice), segments[1]), inference(file_of(voice[:, 48_000:64_000])))


def test_a_sliding_crop_covers_all_segments_and_starts_at_the_first(local_model, voice):
    inference = Inference(local_model, duration=1.0, step=0.5)
    result = inference.crop(file_of(voice), [Segment(3, 4), Segment(1.5, 2)])
    assert result.sliding_window[0] == Segment(1.5, 2.5)
    assert_close(result.data, inference(file_of(voice[:, 24_000:64_000])).data)


@pytest.mark.parametrize(("samples", "calls"), [(5 * RATE, [0, 2, 4, 5]), (5 * RATE + 1, [0, 2, 4, 5, 6])])
def test_the_hook_hears_of_every_batch(local_model, samples, calls, voice):
    heard: list[tuple[int, int]] = []
    inference = Inference(local_model, duration=1.0, step=1.0, batch_size=2)
    padded = np.pad(voice, ((0, 0), (0, samples - voice.shape[1])))
    inference(file_of(padded), hook=lambda completed, total: heard.append((completed, total)))
    assert heard == [(completed, calls[-1]) for completed in calls]


def test_a_whole_file_calls_the_hook_too(local_model, voice):
    heard: list[tuple[int, int]] = []
    Inference(local_model, window="whole")(
        file_of(voice), hook=lambda completed, total: heard.append((completed, total))
    )
    assert heard == [(0, 1), (1, 1)]


def test_a_device_is_a_name_or_a_torch_device(local_model, device):
    inference = Inference(local_model, window="whole", device=device)
    assert inference.to(torch.device(device)) is inference
    assert inference.device.type == device
    assert inference.to("cpu").device.type == "cpu"
    with pytest.raises(ConfigurationError, match="gpu"):
        inference.to("gpu")


def test_the_models_own_duration_is_the_default(local_model):
    from streamer.models.model import ModelCard

    model = Model(local_model.network, ModelCard("five", details={"training_duration_s": 5.0}))
    assert Inference(model).duration == 5.0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"window": "hopping"}, "window='hopping'"),
        ({"duration": 1.0, "step": 2.0}, "step=2 s is longer than duration=1 s.*decrease step or increase duration"),
        ({"duration": 0.0}, "duration=0.0 s must be a positive"),
        ({"step": 0.0}, "step=0.0 s must be a positive"),
        ({"step": -1.0}, "step=-1.0 s must be a positive"),
        ({"duration": float("nan")}, "duration=nan s must be a positive"),
        ({"duration": float("inf")}, "duration=inf s must be a positive"),
        ({"duration": 0.3, "step": 0.1}, r"needs at least 0.316 s \(5041 samples\)"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": 1.5}, "batch_size=1.5"),
        ({"device": "gpu"}, "device='gpu'"),
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused(local_model, settings, words):
    with pytest.raises(ConfigurationError, match=words):
        Inference(local_model, **settings)
    with pytest.raises(ValueError, match=words):
        Inference(local_model, **settings)


def bad_files(folder: Path) -> dict[str, tuple[Any, type[AudioError], str]]:
    text = folder / "notes.wav"
    text.write_text("not audio at all")
    empty = folder / "empty.wav"
    soundfile.write(empty, np.zeros(0, np.float32), RATE)
    short = folder / "short.wav"
    soundfile.write(short, np.zeros(3_360, np.float32), RATE)
    broken = np.zeros((1, RATE), np.float32)
    broken[0, 100] = np.nan
    return {
        "missing": (folder / "none.wav", AudioNotFound, "none.wav"),
        "not audio": (text, AudioUnreadable, "notes.wav"),
        "a directory": (folder, AudioError, folder.name),
        "empty": (empty, AudioEmpty, "empty.wav"),
        "short": (short, AudioTooShort, r"short.wav' has 0.210 s of audio; this model needs at least 0.316 s"),
        "NaN": (file_of(broken), AudioNotFinite, "sample 100"),
    }


@pytest.mark.parametrize("window", ["whole", "sliding"])
@pytest.mark.parametrize("name", ["missing", "not audio", "a directory", "empty", "short", "NaN"])
def test_bad_audio_is_named(local_model, tmp_path, window, name):
    file, error, words = bad_files(tmp_path)[name]
    with pytest.raises(error, match=words):
        Inference(local_model, window=window)(file)


@pytest.mark.parametrize("window", ["whole", "sliding"])
@pytest.mark.parametrize(
    ("chunk", "error", "words"),
    [
        (Segment(4, 9), SegmentOutOfRange, "5.000 s"),
        (Segment(-1, 2), SegmentOutOfRange, "-1.000 s"),
        (Segment(2, 2), SegmentOutOfRange, "no samples"),
        (Segment(1, 1.1), AudioTooShort, "0.100 s of audio"),
        ([], ConfigurationError, "at least one"),
    ],
    ids=["beyond the end", "before the start", "empty", "too short", "none"],
)
def test_bad_segments_are_named(local_model, voice, window, chunk, error, words):
    with pytest.raises(error, match=words):
        Inference(local_model, window=window).crop(file_of(voice), chunk)


@pytest.mark.parametrize(
    "message", ["CUDA out of memory. Tried to allocate", "DefaultCPUAllocator: can't allocate memory"]
)
def test_too_little_memory_names_the_batch_size(local_model, voice, monkeypatch, message):
    # Using up the memory for real would take the machine down with it.
    def exhausted(*_: object) -> None:
        raise RuntimeError(message)

    monkeypatch.setattr(local_model.network, "forward", exhausted)
    with pytest.raises(MemoryError, match="batch_size=7"):
        Inference(local_model, duration=1.0, step=0.5, batch_size=7)(file_of(voice))


def test_other_errors_of_the_network_stay_what_they_are(local_model, voice, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(local_model.network, "frames", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        Inference(local_model, duration=1.0, step=0.5)(file_of(voice))


@pytest.mark.parametrize("window", ["whole", "sliding"])
def test_silence_embeds_to_finite_vectors(any_model, window):
    result = Inference(any_model, window=window, step=1.0)(file_of(np.zeros((1, 4 * RATE), np.float32)))
    assert np.isfinite(np.asarray(result.data)).all()

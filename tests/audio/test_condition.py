"""From input to events: the same samples and the same time, however the input is cut and wherever it has gaps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.audio.chunks import AudioEvent, Chunk, Gap
from streamer.audio.condition import Conditioner
from streamer.audio.files import Audio
from streamer.audio.formats import encode_pcm
from streamer.audio.resample import StreamResampler, check_rate, resampled_length
from streamer.errors import AudioNotFinite, ConfigurationError

RATES = st.sampled_from([8000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 7919])
NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 20_000)).astype(np.float32)


def timeline(events: list[AudioEvent]) -> np.ndarray:
    """The samples of contiguous events, NaN in gaps."""
    parts, position = [np.zeros(0, np.float32)], 0
    for event in events:
        assert event.start_sample == position
        assert event.end_sample > position
        position = event.end_sample
        parts.append(event.samples if isinstance(event, Chunk) else np.full(position - event.start_sample, np.nan))
    return np.concatenate(parts)


def cut(data: st.DataObject, length: int) -> list[slice]:
    cuts = sorted(data.draw(st.lists(st.integers(0, length), max_size=12)))
    return [slice(a, b) for a, b in zip([0, *cuts], [*cuts, length], strict=True)]


@given(data=st.data(), rate=RATES, length=st.integers(0, 20_000))
def test_any_cut_resamples_to_the_same_bits_as_all_at_once(data, rate, length):
    resampler = StreamResampler(rate)
    chunks = [resampler.push(NOISE[0, part]) for part in cut(data, length)]
    streamed = np.concatenate([*chunks, resampler.finish()])
    assert len(streamed) == resampled_length(length, rate)
    if length:
        np.testing.assert_array_equal(streamed, Audio(NOISE[:1, :length], rate, "noise").mono_16k())


@pytest.mark.parametrize("rate", [8000, 44_100, 48_000])
def test_resampled_sample_k_stands_at_k_over_16000(rate):
    resampler, position = StreamResampler(rate), 0
    for start in range(0, rate, 441):
        times = np.arange(start, min(start + 441, rate)) / rate
        out = resampler.push(np.sin(2 * np.pi * 440 * times).astype(np.float32))
        expected = np.sin(2 * np.pi * 440 * np.arange(position, position + len(out)) / 16_000)
        inside = np.arange(position, position + len(out)) > 1000  # the onset rings
        # One sample of delay would be 0.17; soxr's HQ has 20 bit.
        np.testing.assert_allclose(out[inside], expected[inside], atol=1e-4)
        position += len(out)
    assert position > 14_000


@given(data=st.data(), rate=RATES, length=st.integers(1, 3000), channel=st.sampled_from(["downmix", 0, 1]))
def test_bytes_and_arrays_in_any_cut_give_the_same_events(data, rate, length, channel):
    frames = NOISE[:, :length]
    settings = {"channels": 2, "channel": channel}
    by_bytes = Conditioner(rate, encoding="f32le", **settings)
    content = encode_pcm(frames, "f32le")
    events = [event for part in cut(data, len(content)) for event in by_bytes.push(content[part])]
    by_array = Conditioner(rate, **settings)
    other = [event for part in cut(data, length) for event in by_array.push(frames[:, part])]
    mixed = frames.mean(axis=0, keepdims=True) if channel == "downmix" else frames[channel : channel + 1]
    expected = Audio(mixed, rate, "noise").mono_16k()
    np.testing.assert_array_equal(timeline(events + by_bytes.finish()), expected)
    np.testing.assert_array_equal(timeline(other + by_array.finish()), expected)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 700)), min_size=1, max_size=30),
    RATES,
)
def test_gaps_never_shift_time(runs, rate):
    conditioner, frames, events, expected_gaps = Conditioner(rate), 0, [], []
    for missing, length in runs:
        if missing:
            events += conditioner.gap(length, "packet loss")
            frames += length
            assert conditioner.position == resampled_length(frames, rate)
            expected_gaps.append((resampled_length(frames - length, rate), resampled_length(frames, rate)))
        else:
            events += conditioner.push(NOISE[0, :length])
            frames += length
    events += conditioner.finish()
    assert len(timeline(events)) == conditioner.position == resampled_length(frames, rate)
    gaps = [(event.start_sample, event.end_sample) for event in events if isinstance(event, Gap)]
    assert gaps == [gap for gap in expected_gaps if gap[0] < gap[1]]


def test_after_a_gap_the_samples_are_where_they_belong():
    conditioner = Conditioner(48_000)
    times = np.arange(96_000) / 48_000
    tone = np.sin(2 * np.pi * 440 * times).astype(np.float32)
    events = [
        *conditioner.push(tone[:30_001]),
        *conditioner.gap(17_000, "packet loss"),
        *conditioner.push(tone[47_001:]),
    ]
    heard = timeline([*events, *conditioner.finish()])
    expected = np.sin(2 * np.pi * 440 * np.arange(32_000) / 16_000)
    assert np.isnan(heard[10_000:15_667]).all()
    np.testing.assert_allclose(heard[1000:9000], expected[1000:9000], atol=1e-4)
    # The run begins at a whole sample, up to half of one (31 us, 0.09 of the tone's slope) from its true place.
    np.testing.assert_allclose(heard[17_000:31_000], expected[17_000:31_000], atol=0.09)


def test_a_partial_sample_at_the_end_is_reported():
    conditioner = Conditioner(16_000, encoding="s16le")
    events = [*conditioner.push(b"\x00\x40\x00"), *conditioner.finish()]
    assert [type(event) for event in events] == [Chunk, Gap]
    assert events[1] == Gap(1, 2, "partial sample")


def test_a_partial_sample_before_a_gap_is_part_of_it():
    conditioner = Conditioner(16_000, encoding="s16le")
    conditioner.push(b"\x00\x40\x00")
    assert conditioner.gap(10, "packet loss") == [Gap(1, 12, "packet loss")]
    (chunk,) = conditioner.push(b"\x00\xc0")  # aligned anew
    assert isinstance(chunk, Chunk)
    assert chunk.samples.tolist() == [-0.5]


def test_integer_arrays_are_scaled():
    (chunk,) = Conditioner(16_000).push(np.array([-32768, 16384], np.int16))
    assert isinstance(chunk, Chunk)
    assert chunk.samples.tolist() == [-1.0, 0.5]


@pytest.mark.parametrize("channel", ["downmix", 0])
def test_an_event_keeps_its_samples_when_the_callers_array_is_used_again(channel):
    block = np.ones((1, 10), np.float32)
    (chunk,) = Conditioner(16_000, channel=channel).push(block)
    block[:] = 0
    assert isinstance(chunk, Chunk)
    assert chunk.samples.sum() == 10


def test_a_sample_that_is_not_finite_is_named_by_its_place_in_the_stream():
    conditioner = Conditioner(8000, channels=2, name="mic")
    conditioner.push(NOISE[:, :8000])
    broken = NOISE[:, :100].copy()
    broken[1, 40] = np.nan
    with pytest.raises(AudioNotFinite, match=r"'mic' has nan at sample 8040 \(1\.005 s, channel 1\)"):
        conditioner.push(broken)


def test_samples_that_overflow_on_mixing_are_refused():
    with pytest.raises(AudioNotFinite, match="range of float32"):
        Conditioner(16_000, channels=2).push(np.full((2, 5), 3e38, np.float32))


@pytest.mark.parametrize("rate", [0, -16_000, 999, 800_000, 44_100.5, "fast", None, True, float("nan")])
def test_a_rate_that_cannot_be_is_refused(rate):
    with pytest.raises(ConfigurationError, match=r"1000 to 768000"):
        check_rate(rate)


@pytest.mark.parametrize("channel", [2, -1, "left", True])
def test_a_channel_that_is_not_there_is_refused(channel):
    with pytest.raises(ConfigurationError, match="index from 0 to 1"):
        Conditioner(16_000, channels=2, channel=channel)


def test_data_that_does_not_fit_is_refused():
    with pytest.raises(ConfigurationError, match="encoding="):
        Conditioner(16_000).push(b"\x00\x00")
    with pytest.raises(ConfigurationError, match=r"do not fit 2 channel\(s\)"):
        Conditioner(16_000, channels=2).push(np.zeros(10, np.float32))

"""Channels that cancel each other are noticed, and one of them is heard; all others are mixed as ever."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.audio.chunks import SAMPLE_RATE as RATE
from streamer.audio.chunks import Chunk
from streamer.audio.condition import Conditioner
from streamer.audio.downmix import Downmix, downmix
from streamer.audio.files import read_audio
from streamer.audio.formats import encode_pcm
from streamer.audio.sources import FileSource, IteratorSource
from streamer.protocol import Settings
from streamer.server.intake import Intake

VOICE = np.random.default_rng(0).normal(0, 0.1, 3 * RATE).astype(np.float32)
NOISE = np.random.default_rng(1).normal(0, 0.01, (4, 3 * RATE)).astype(np.float32)


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


@pytest.mark.parametrize("weights", [(1, -1), (1, -0.9), (0.5, -0.6), (1, -1, 1, -1)], ids=str)
def test_channels_that_cancel_are_noticed_and_the_loudest_is_heard_from_the_first_sample(weights):
    waveform = np.outer(weights, VOICE).astype(np.float32) + NOISE[: len(weights)] * 0.1
    mono, found = downmix(waveform, RATE)
    assert found is not None
    assert found.channel == int(np.argmax(np.abs(weights)))
    np.testing.assert_array_equal(mono, waveform[found.channel])


def test_after_silence_nothing_of_the_first_word_is_lost():
    quiet = np.concatenate([np.zeros(5 * RATE + 77, np.float32), VOICE])
    mono, found = downmix(np.stack([quiet, -quiet]), RATE)
    assert found is not None
    np.testing.assert_array_equal(mono, quiet)


@pytest.mark.parametrize(
    "waveform",
    [
        np.stack([VOICE, VOICE]),
        np.stack([VOICE, 0 * VOICE]),
        np.stack([VOICE, NOISE[0]]),
        np.stack([NOISE[0] * 10, NOISE[1] * 10]),
        np.stack([VOICE, np.roll(VOICE, 37)]),
        np.stack([VOICE, -0.1 * VOICE]) + NOISE[:2] * 5,
        0 * NOISE[:2],
        NOISE,
    ],
    ids=["mono", "one side", "a voice and noise", "apart", "late", "crosstalk", "silence", "four"],
)
def test_other_channels_are_mixed_by_their_mean(waveform):
    mono, found = downmix(waveform.astype(np.float32), RATE)
    assert found is None
    np.testing.assert_array_equal(mono, waveform.astype(np.float32).mean(axis=0, dtype=np.float32))


def test_channels_that_cancel_no_more_are_mixed_again():
    there = np.concatenate([VOICE, NOISE[2] * 10])
    other = np.concatenate([-VOICE, NOISE[3] * 10])
    mono, found = downmix(np.stack([there, other]), RATE)
    assert found is not None
    np.testing.assert_array_equal(mono[: len(VOICE)], VOICE)
    np.testing.assert_array_equal(mono[-RATE:], ((there + other) / 2)[-RATE:])


@settings(max_examples=40)
@given(st.lists(st.integers(0, len(VOICE)), max_size=12), st.sampled_from([-1.0, -0.85, 1.0]))
def test_any_cut_gives_the_same_samples(cuts, weight):
    waveform = np.stack([VOICE, weight * VOICE]).astype(np.float32) + NOISE[:2]
    expected, found = downmix(waveform, RATE)
    mix = Downmix(RATE, 2)
    edges = [0, *sorted(cuts), len(VOICE)]
    parts = [mix.push(waveform[:, a:b]) for a, b in pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate([*parts, mix.flush()]), expected)
    assert mix.found == found


def test_nothing_waits_once_it_is_decided():
    mix = Downmix(RATE, 2)
    mix.push(np.stack([VOICE, -VOICE])[:, :RATE])
    assert len(mix.push(np.stack([VOICE, -VOICE])[:, RATE : RATE + 1])) == 1


@pytest.mark.parametrize("rate", [16_000, 44_100])
async def test_a_file_is_told_of_and_streams_what_it_is_when_read_whole(tmp_path, rate, caplog):
    path = tmp_path / "anti.wav"
    soundfile.write(path, np.stack([VOICE, -VOICE], 1), rate)
    whole = read_audio(path).mono_16k()
    assert "channels cancel each other" in caplog.text
    assert "anti.wav" in caplog.text
    heard: list[tuple[int, str]] = []
    source = FileSource(path)
    source.on_notice = lambda sample, words: heard.append((sample, words))
    async with source:
        parts = [event.samples async for event in source if isinstance(event, Chunk)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert rms(whole) > 0.05
    assert len(heard) == 1
    assert "channel 0 is used alone" in heard[0][1]


async def test_a_live_source_is_told_of_in_the_log_where_nobody_else_listens(caplog):
    blocks = [np.stack([VOICE, -VOICE])[:, start : start + 160] for start in range(0, len(VOICE), 160)]
    async with IteratorSource(blocks, channels=2, name="mixer") as source:
        parts = [event.samples async for event in source]
    # What is live does not wait: the first fifth of a second goes by before it is noticed.
    np.testing.assert_array_equal(np.concatenate(parts)[RATE // 5 :], VOICE[RATE // 5 :])
    assert caplog.text.count("channels cancel each other") == 1
    assert "'mixer'" in caplog.text


def test_before_a_gap_all_that_was_held_back_is_given():
    conditioner = Conditioner(RATE, channels=2)
    events = conditioner.push(np.stack([VOICE, -VOICE])[:, :1000])
    events += conditioner.gap(500, "packet loss")
    assert [type(event).__name__ for event in events] == ["Chunk", "Gap"]
    assert (events[0].end_sample, events[1].end_sample) == (1000, 1500)


@pytest.mark.parametrize("channel", [0, 1])
def test_a_channel_that_was_chosen_is_taken_as_it_is(channel):
    conditioner = Conditioner(RATE, channels=2, channel=channel)
    (chunk,) = conditioner.push(np.stack([VOICE, -VOICE]))
    np.testing.assert_array_equal(chunk.samples, [VOICE, -VOICE][channel])
    assert conditioner.notice() is None


@pytest.mark.parametrize("size", [1, 320, 6400, 400_000])
def test_the_server_notices_it_too_however_a_client_cuts_its_audio(size):
    intake = Intake(Settings.of({"type": "start", "channels": 2}))
    content = encode_pcm(np.stack([VOICE, -VOICE])[:, : RATE // 2], "s16le")
    heard, notices = [], []
    for start in range(0, len(content), 4 * size):
        chunk = content[start : start + 4 * size]
        (events,) = intake.audio(chunk, len(chunk) // 4)
        heard += [event.samples for event in events]
        notices += intake.notices()
    (events,) = intake.finish()
    samples = np.concatenate([*heard, *(event.samples for event in events)])
    np.testing.assert_allclose(samples[RATE // 5 :], VOICE[RATE // 5 : RATE // 2], atol=1e-4)
    ((channel, sample, words),) = notices
    assert channel == 0
    assert sample <= RATE // 2
    assert "channels cancel each other" in words

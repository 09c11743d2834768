"""Where somebody speaks: the reference that streams are compared with."""

from importlib import resources

import numpy as np
import pytest
import soundfile

from streamer.audio.chunks import SAMPLE_RATE as RATE
from streamer.evaluation.spoken import PAD, speech_stretches, without_short_pauses
from streamer.speech import silero


@pytest.fixture(scope="module")
def voice():
    samples, rate = soundfile.read(str(resources.files("streamer.demo") / "carol.ogg"), dtype="float32")
    assert rate == RATE
    return samples[: 8 * RATE]


def covered(stretches, start, end):
    """The share of the samples from start to end that lie in stretches."""
    return sum(max(0, min(end, b) - max(start, a)) for a, b in stretches) / (end - start)


def test_what_a_microphone_hears_before_and_after_a_voice_is_no_speech(voice):
    loudest = np.sqrt((voice[: len(voice) // 160 * 160].reshape(-1, 160) ** 2).mean(1).max())
    hiss = (loudest * 10 ** (-30 / 20) * np.random.default_rng(0).standard_normal(2 * RATE)).astype(np.float32)

    found = speech_stretches(np.concatenate([hiss, voice, hiss]))

    assert covered(found, 0, 2 * RATE - 2 * PAD) == 0
    # The voice is cut within a word, which the detector still hears for a moment.
    assert covered(found, 2 * RATE + len(voice) + RATE // 4, 4 * RATE + len(voice)) == 0
    assert covered(found, 2 * RATE, 2 * RATE + len(voice)) > 0.7


def test_stretches_lie_in_order_inside_of_the_recording_with_pauses_between(voice):
    found = speech_stretches(np.concatenate([voice[: 3 * RATE], np.zeros(RATE, np.float32), voice[3 * RATE :]]))

    assert len(found) >= 2
    edges = np.array(found).ravel()
    assert edges[0] >= 0
    assert edges[-1] <= len(voice) + RATE
    assert (np.diff(edges) > 0).all()
    assert (np.diff(edges)[1::2] >= 0.3 * RATE).all()


def test_a_recording_is_heard_the_same_in_chunks(voice, monkeypatch):
    whole = speech_stretches(voice)
    monkeypatch.setattr(silero, "AT_ONCE", 7)

    assert speech_stretches(voice) == whole


def test_where_no_speech_is_found_all_of_it_counts():
    tone = (0.1 * np.sin(np.arange(RATE) / 5)).astype(np.float32)

    assert speech_stretches(tone) == [(0, RATE)]
    assert speech_stretches(tone[:100]) == [(0, 100)]


def test_short_pauses_are_a_part_of_the_speech():
    assert without_short_pauses([(0, 1000), (5799, 6000), (10_800, 11_000)]) == [(0, 6000), (10_800, 11_000)]
    assert without_short_pauses([]) == []

"""Disturbances do what their numbers say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import correlate

from streamer.audio.files import read_audio
from streamer.demo import ENROLMENT
from streamer.errors import ConfigurationError
from streamer.evaluation.conditions import CHANNELS, disturbed, parse_condition


@pytest.fixture
def wave():
    return (0.1 * np.random.default_rng(0).standard_normal(32_000)).astype(np.float32)


def decibels(part: np.ndarray, whole: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(part)) / np.mean(np.square(whole))))


@pytest.mark.parametrize("db", [-40.0, 10.0])
def test_gain_moves_the_level_by_its_decibels(wave, db):
    (louder,) = disturbed([wave], parse_condition(f"gain={db}"))

    assert decibels(louder, wave) == pytest.approx(db, abs=1e-3)


@pytest.mark.parametrize("snr_db", [5.0, 20.0])
def test_noise_lies_below_the_speech_by_its_snr(wave, snr_db):
    (noisy,) = disturbed([wave], parse_condition(f"noise={snr_db}"))

    assert decibels(noisy - wave, wave) == pytest.approx(-snr_db, abs=0.01)


def test_a_telephone_keeps_its_band_only():
    time = np.arange(16_000) / 16_000
    tones = [np.sin(2 * np.pi * hz * time).astype(np.float32) * 0.3 for hz in (60, 1_000, 7_000)]

    heard = disturbed(tones, parse_condition("telephone"))

    low, middle, high = (decibels(after, before) for before, after in zip(tones, heard, strict=True))
    assert low < -40
    assert middle == pytest.approx(0, abs=0.2)
    assert high < -40


def test_reverb_rings_after_a_click_by_the_energy_it_says():
    click = np.zeros(16_000, np.float32)
    click[100] = 1.0

    (heard,) = disturbed([click], parse_condition("reverb=0.5"))

    assert heard[100] == pytest.approx(1.0, abs=1e-4)
    assert np.abs(heard[101:180]).max() < 1e-4
    assert np.sum(np.square(heard[180:])) == pytest.approx(1.0, rel=0.01)


def test_the_same_item_is_disturbed_in_the_same_way_again(wave):
    once, twice = (disturbed([wave, wave], parse_condition("noise=10")) for _ in range(2))

    np.testing.assert_array_equal(once, twice)
    assert not np.array_equal(once[0], once[1])


@pytest.fixture(scope="module")
def speech():
    return read_audio(next(iter(ENROLMENT.values()))).mono_16k()[: 5 * 16_000]


@pytest.mark.parametrize("name", CHANNELS)
def test_whatever_speech_goes_through_it_keeps_its_place_and_its_length(speech, name):
    (heard,) = disturbed([speech], parse_condition(name))

    assert heard.shape == speech.shape and heard.dtype == np.float32
    # A quarter of a millisecond: coders shift bands against each other, and none is late.
    late = int(np.argmax(correlate(heard, speech, "full"))) - (len(speech) - 1)
    assert abs(late) <= 4
    assert not np.array_equal(heard, speech)


def beyond(wave: np.ndarray, hertz: float) -> float:
    """What lies above a frequency, in dB of the whole."""
    power = np.abs(np.fft.rfft(wave * np.hanning(len(wave)))) ** 2
    above = np.fft.rfftfreq(len(wave), 1 / 16_000) > hertz
    return float(10 * np.log10(power[above].sum() / power.sum()))


@pytest.mark.parametrize("hertz", [3_400, 5_000, 7_200, 7_800])
def test_a_low_pass_is_steep(wave, hertz):
    (heard,) = disturbed([wave], parse_condition(f"lowpass-{hertz}"))

    assert beyond(heard, hertz + 100) < -60
    assert beyond(heard, hertz - 300) > beyond(wave, hertz - 300) - 9


@pytest.mark.parametrize("name", ["telephone-mulaw", "telephone-alaw", "telephone-gsm", "amr-12200"])
def test_a_telephone_line_has_nothing_above_four_kilohertz(speech, name):
    (heard,) = disturbed([speech], parse_condition(name))

    assert beyond(heard, 4_100) < -40


def test_fewer_bits_leave_less_of_the_speech(speech):
    few, many = (disturbed([speech], parse_condition(f"mp3-{rate}"))[0] for rate in ("16k", "64k"))

    assert np.mean((few - speech) ** 2) > 2 * np.mean((many - speech) ** 2)


def test_conditions_follow_one_another(speech):
    (both,) = disturbed([speech], parse_condition("gain=-20+lowpass-4000"))
    (gained,) = disturbed([speech], parse_condition("gain=-20"))
    (alone,) = disturbed([gained], parse_condition("lowpass-4000"))

    np.testing.assert_array_equal(both, alone)


@pytest.mark.parametrize(
    "text", ["", "loud", "noise", "noise=much", "clean=1", "mp3", "mp3-", "lowpass-x", "opus--8k", "gain=1+", "amr-0"]
)
def test_an_unknown_condition_is_refused_with_the_known_ones(text):
    with pytest.raises(ConfigurationError, match="telephone"):
        parse_condition(text)

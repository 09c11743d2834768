"""Voices that nobody has."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter

from streamer.training.voices import FASTEST, FURTHEST, Voice, voices_of, warp_formants

PITCH_HZ, FORMANT_HZ = 120, 1_500


@pytest.fixture(scope="module")
def vowel():
    """Pulses through one resonance, 1 s: a pitch and a formant that are known."""
    pulses = np.zeros(16_000)
    pulses[:: round(16_000 / PITCH_HZ)] = 1.0
    pole = 0.95 * np.exp(2j * np.pi * FORMANT_HZ / 16_000)
    return lfilter([1.0], np.poly([pole, pole.conj()]), pulses).astype(np.float32)


def pitch_hz(wave: np.ndarray) -> float:
    """By the highest peak of the autocorrelation between 80 and 300 Hz."""
    spectrum = np.abs(np.fft.rfft(wave, 2 * len(wave))) ** 2
    correlation = np.fft.irfft(spectrum)
    return 16_000 / (53 + int(np.argmax(correlation[53:200])))


def formant_hz(wave: np.ndarray) -> float:
    """The mean frequency of the power: with one narrow resonance, where that lies."""
    power = np.abs(np.fft.rfft(wave)) ** 2
    return float(np.average(np.fft.rfftfreq(len(wave), 1 / 16_000), weights=power))


@pytest.mark.parametrize("factor", [0.88, 1.14])
def test_formants_move_and_the_pitch_stays(vowel, factor):
    warped = warp_formants(vowel, factor)

    assert formant_hz(warped) == pytest.approx(factor * formant_hz(vowel), rel=0.05)
    assert pitch_hz(warped) == pytest.approx(pitch_hz(vowel), rel=0.01)


def test_speed_moves_both(vowel):
    faster = Voice(speed=1.2).of(vowel)

    assert formant_hz(faster) == pytest.approx(1.2 * formant_hz(vowel), rel=0.03)
    assert pitch_hz(faster) == pytest.approx(1.2 * pitch_hz(vowel), rel=0.02)


@given(samples=st.integers(1, 3_000), factor=st.sampled_from([0.88, 1.0, 1.14]), seed=st.integers(0, 99))
def test_a_wave_of_any_length_keeps_it(samples, factor, seed):
    wave = (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)

    warped = warp_formants(wave, factor)

    assert (warped.shape, warped.dtype) == (wave.shape, np.float32)
    assert np.isfinite(warped).all()
    if factor == 1.0:  # Analysis and synthesis alone change nothing, from the first sample to the last.
        np.testing.assert_allclose(warped, wave, atol=1e-5)


def test_silence_stays_silent():
    assert not warp_formants(np.zeros(5_000, np.float32), 1.1).any()


def test_drawn_voices_are_a_speakers_own():
    first, second = voices_of(0, [1.0, 0.9], 3), voices_of(1, [1.0, 0.9], 3)

    assert first == voices_of(0, [1.0, 0.9], 3)
    assert first[:2] == second[:2] == [Voice(), Voice(speed=0.9)]
    other = voices_of(0, [1.0, 0.9], 3, seed=4)
    assert other[:2] == first[:2]
    assert len(set(first[2:]) | set(second[2:]) | set(other[2:])) == 9
    for voice in first[2:] + second[2:] + other[2:]:
        assert 1 / FASTEST <= voice.speed <= FASTEST
        assert 1 / FURTHEST <= voice.formants <= FURTHEST

"""Disturbances do what their numbers say."""

from __future__ import annotations

import numpy as np
import pytest

from streamer.errors import ConfigurationError
from streamer.evaluation.conditions import disturbed, parse_condition


@pytest.fixture
def wave() -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(32_000)).astype(np.float32)


def decibels(part: np.ndarray, whole: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(part)) / np.mean(np.square(whole))))


@pytest.mark.parametrize("db", [-40.0, 10.0])
def test_gain_moves_the_level_by_its_decibels(wave: np.ndarray, db: float) -> None:
    (louder,) = disturbed([wave], parse_condition(f"gain={db}"))

    assert decibels(louder, wave) == pytest.approx(db, abs=1e-3)


@pytest.mark.parametrize("snr_db", [5.0, 20.0])
def test_noise_lies_below_the_speech_by_its_snr(wave: np.ndarray, snr_db: float) -> None:
    (noisy,) = disturbed([wave], parse_condition(f"noise={snr_db}"))

    assert decibels(noisy - wave, wave) == pytest.approx(-snr_db, abs=0.01)


def test_a_telephone_keeps_its_band_only() -> None:
    time = np.arange(16_000) / 16_000
    tones = [np.sin(2 * np.pi * hz * time).astype(np.float32) * 0.3 for hz in (60, 1_000, 7_000)]

    heard = disturbed(tones, parse_condition("telephone"))

    low, middle, high = (decibels(after, before) for before, after in zip(tones, heard, strict=True))
    assert low < -40
    assert middle == pytest.approx(0, abs=0.2)
    assert high < -40


def test_reverb_rings_after_a_click_by_the_energy_it_says() -> None:
    click = np.zeros(16_000, np.float32)
    click[100] = 1.0

    (heard,) = disturbed([click], parse_condition("reverb=0.5"))

    assert heard[100] == pytest.approx(1.0, abs=1e-4)
    assert np.abs(heard[101:180]).max() < 1e-4
    assert np.sum(np.square(heard[180:])) == pytest.approx(1.0, rel=0.01)


def test_the_same_item_is_disturbed_in_the_same_way_again(wave: np.ndarray) -> None:
    once, twice = (disturbed([wave, wave], parse_condition("noise=10")) for _ in range(2))

    np.testing.assert_array_equal(once, twice)
    assert not np.array_equal(once[0], once[1])


@pytest.mark.parametrize("text", ["", "loud", "noise", "noise=much", "clean=1"])
def test_an_unknown_condition_is_refused_with_the_known_ones(text: str) -> None:
    with pytest.raises(ConfigurationError, match="telephone"):
        parse_condition(text)

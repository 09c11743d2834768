"""Augmentation keeps speech speech, and does what its chances say."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from streamer.training.augmentation import (
    ROOM_TAPS,
    Augmenter,
    Chances,
    band_pass,
    equaliser_curves,
    mu_law,
    noise_bank,
    scaled,
    simulate_rooms,
)

CALM = Chances(**{entry.name: 0.0 for entry in fields(Chances) if entry.name not in ("snr_db", "equaliser_db")})


@pytest.fixture(scope="module")
def clean():
    return torch.from_numpy(np.random.default_rng(0).standard_normal((8, 12_000))).float() * 0.1


@pytest.fixture(scope="module")
def augmenter(tmp_path_factory):
    rooms = torch.zeros(2, ROOM_TAPS)
    rooms[:, 0], rooms[:, 400] = 0.8, 0.6
    recording = np.random.default_rng(1).standard_normal(16_000).astype(np.float32)
    noise = noise_bank([recording], tmp_path_factory.mktemp("noise") / "noise.npy", minutes=0.3)
    return Augmenter(rooms, noise, Chances())


def test_augmented_speech_is_finite_and_repeatable(augmenter, clean):
    once, twice = (augmenter(clean, np.random.default_rng(9))[0] for _ in range(2))

    assert once.shape == clean.shape
    assert torch.isfinite(once).all()
    torch.testing.assert_close(once, twice, rtol=0, atol=0)


def test_without_any_chance_only_the_level_changes(augmenter, clean):
    heard, voices = replace(augmenter, chances=CALM)(clean, np.random.default_rng(0))

    torch.testing.assert_close(heard, scaled(clean, 0.05), rtol=1e-3, atol=1e-5)
    assert not voices.any()


def test_noise_lies_below_the_speech_by_a_ratio_in_the_range(augmenter, clean):
    noisy = replace(augmenter, chances=replace(CALM, noise=1.0, babble=0.0, snr_db=(10.0, 10.0)))

    heard, _ = noisy(clean, np.random.default_rng(0))

    # Independent noise at -10 dB: the cosine to the clean wave is 1 / sqrt(1 + 0.1).
    cosine = torch.nn.functional.cosine_similarity(heard, clean)
    torch.testing.assert_close(cosine, torch.full((8,), 1.1**-0.5), atol=0.02, rtol=0)


def test_other_voices_are_reported(augmenter, clean):
    _, voices = replace(augmenter, chances=replace(CALM, noise=1.0, babble=1.0))(clean, np.random.default_rng(0))

    assert voices.all()


def test_mu_law_is_a_little_wrong_everywhere():
    waves = torch.linspace(-1, 1, 2_001)

    error = (mu_law(waves) - waves).abs()

    assert error.max() < 0.025  # half a step at full scale: log(256) / 254
    assert error.max() > 0.01


def test_an_equaliser_stays_within_its_depth_and_is_smooth():
    curves = 20 * equaliser_curves(50, 1_001, 8.0, np.random.default_rng(0)).log10()

    assert curves.abs().max() <= 8.0 + 1e-3
    assert curves.diff(dim=1)[:, 50:].abs().max() < 0.5  # dB from one bin of 8 Hz to the next, above 400 Hz


def test_a_band_is_3_db_down_at_its_edges():
    gains = 20 * band_pass(8_001, 300, 3_400).log10()

    assert gains[300] == pytest.approx(-3.01, abs=0.1)
    assert gains[3_400] == pytest.approx(-3.01, abs=0.1)
    assert gains[1_000] == pytest.approx(0, abs=0.1)


def test_rooms_begin_with_their_direct_sound_and_keep_the_energy(tmp_path):
    pytest.importorskip("pyroomacoustics")

    rooms = simulate_rooms(3, tmp_path / "rooms.npy")

    torch.testing.assert_close(rooms.square().sum(1), torch.ones(3))
    assert (rooms.abs().argmax(1) == 0).all()
    torch.testing.assert_close(simulate_rooms(3, tmp_path / "rooms.npy"), rooms, rtol=0, atol=0)

"""The filter bank has Kaldi's numbers, in batches, at any level."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import seeded
import torch

from streamer.models.fbank import GRID, KaldiFilterBank

#: Of kaldi-native-fbank, each 7th frame; see make_fbank.py beside it.
RECORDED = np.load(Path(__file__).parents[1] / "golden" / "fbank.npy")


def test_its_numbers_are_kaldis(device):
    audio = torch.from_numpy(seeded.seeded_audio(16_000)).to(device)

    found = KaldiFilterBank(subtract_mean=False).to(device)(audio)

    assert found.shape == (1, GRID.num_frames(16_000), 80)
    np.testing.assert_allclose(found[0, ::7].cpu().numpy(), RECORDED, atol=1e-4)


def test_a_batch_is_what_each_waveform_is_alone():
    waves = torch.randn(3, 1, 8_000)
    bank = KaldiFilterBank(40)
    torch.testing.assert_close(bank(waves), torch.cat([bank(wave) for wave in waves.unbind()]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("gain", [0.5, 30.0])
def test_without_its_mean_a_gain_changes_nothing(gain):
    waves = torch.randn(1, 1, 8_000)
    torch.testing.assert_close(KaldiFilterBank(scale=gain)(waves), KaldiFilterBank()(waves), atol=1e-3, rtol=0)


def test_digital_silence_is_finite():
    assert torch.isfinite(KaldiFilterBank(subtract_mean=False)(torch.zeros(1, 1, 4_000))).all()


def test_it_is_whole_where_a_network_is_built_without_weights():
    with torch.device("meta"):
        bank = KaldiFilterBank()
    waves = torch.randn(1, 1, 4_000)
    torch.testing.assert_close(bank(waves), KaldiFilterBank()(waves))

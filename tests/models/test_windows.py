"""Any torch module that embeds waveforms is a model, offline and live."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from steps import deviation, noise, windows_of
from torch import nn

from streamer import IncrementalModel, Inference, Model
from streamer.errors import AudioTooShort, ConfigurationError, WrongArchitecture
from streamer.models import checkpoint
from streamer.models.fbank import KaldiFilterBank
from streamer.models.model import ModelCard
from streamer.models.windows import WindowNetwork


class Banded(nn.Module):
    """Embeds filter banks; its norm behaves otherwise in training."""

    def __init__(self) -> None:
        super().__init__()
        self.bank, self.norm, self.last = KaldiFilterBank(), nn.BatchNorm1d(80), nn.Linear(160, 6)

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        bands = self.norm(self.bank(waveforms).transpose(1, 2))
        found: torch.Tensor = self.last(torch.cat([bands.amax(2), bands.std(2)], 1))
        return found


@pytest.fixture
def model():
    torch.manual_seed(2)
    return Model(WindowNetwork(Banded(), 6, minimum_s=0.3), ModelCard("mine"))


def test_recordings_and_streams_give_what_the_module_gives(model):
    samples = noise(3.5)
    offline = Inference(model, duration=2.0, step=0.5)({"waveform": samples[None], "sample_rate": 16_000})

    windows = windows_of(IncrementalModel(model, speech="off").open((2.0,), 0.5).push(samples))

    complete = [window for window in windows if not window.partial]
    assert len(complete) == len(offline.data) == 4
    for window, row in zip(complete, offline.data, strict=True):
        assert deviation(window.embedding, row) < 1e-5


def test_the_module_is_no_longer_in_training(model):
    wave = torch.from_numpy(noise(1.0))[None, None]
    assert torch.equal(model(wave), model(wave))
    assert not model.network.training  # type: ignore[attr-defined]


def test_audio_that_is_too_short_is_refused_by_the_minimum_that_was_given(model):
    assert model.minimum_samples <= 0.3 * 16_000
    with pytest.raises(AudioTooShort, match=r"at least 0\.29"):
        Inference(model, window="whole")({"waveform": np.zeros((1, 4_000), np.float32), "sample_rate": 16_000})


@pytest.mark.parametrize(
    ("module", "message"),
    [(nn.Identity(), "makes"), (nn.Sequential(nn.Flatten(), nn.Linear(16_000, 5)), r"\(2, 5\)")],
)
def test_a_module_that_gives_something_else_is_refused(module, message):
    with pytest.raises(ConfigurationError, match=message):
        WindowNetwork(module, 6)


def test_there_are_no_frames_to_pool(model):
    with pytest.raises(ConfigurationError, match="whole windows"):
        model.embed(None)  # type: ignore[arg-type]


def test_other_weights_are_another_model(model):
    assert Model(WindowNetwork(Banded(), 6, minimum_s=0.3), ModelCard("mine")).fingerprint != model.fingerprint


def test_weights_in_bfloat16_have_a_fingerprint():
    network = WindowNetwork(nn.Sequential(nn.Flatten(), nn.Linear(16_000, 5)), 5)
    assert len(Model(network.to(torch.bfloat16), ModelCard("half")).fingerprint) == 16


def test_a_checkpoint_of_it_needs_a_family_that_is_known(model, tmp_path):  # type: ignore[no-untyped-def]
    checkpoint.save(tmp_path / "mine.safetensors", model)
    with pytest.raises(WrongArchitecture, match="'windows' is not known"):
        Model.from_pretrained(tmp_path / "mine.safetensors")

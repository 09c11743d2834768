"""A model's identity, device and limits."""

from __future__ import annotations

import hashlib

import pytest
import torch

from streamer import Model
from streamer.errors import ConfigurationError
from streamer.models.model import ModelCard, resolve_device
from streamer.models.places import DEFAULT, PACKAGED


def test_the_fingerprint_is_that_of_the_weights_alone(local_model, pyannote_model):
    other = Model(local_model.network, ModelCard("other name", threshold=0.9))
    assert other.fingerprint == local_model.fingerprint
    assert local_model.fingerprint != pyannote_model.fingerprint
    assert len(local_model.fingerprint) == 16


def test_the_fingerprint_of_a_sincnet_is_what_it_has_always_been(any_model):
    names = ("front", "norm", "dimension", "attention", "speech_head")
    fields = ", ".join(f"{name}={getattr(any_model.architecture, name)!r}" for name in names)
    digest = hashlib.sha256(f"Architecture({fields})".encode())
    for key, tensor in sorted(any_model.network.state_dict().items()):
        digest.update(key.encode() + tensor.numpy().tobytes())

    assert any_model.fingerprint == digest.hexdigest()[:16]


def test_one_changed_weight_is_another_fingerprint(local_model):
    from streamer.models.checkpoint.build import build_network

    state = {name: tensor.clone() for name, tensor in local_model.network.state_dict().items()}
    state["embedding.bias"][3] += 1e-6
    changed = Model(build_network(local_model.architecture, state, "changed"), local_model.card)
    assert changed.fingerprint != local_model.fingerprint


def test_the_minimum_is_the_least_that_embeds(any_model):
    shortest = any_model.minimum_samples
    assert shortest == 5_041
    assert torch.isfinite(any_model(torch.randn(1, 1, shortest))).all()
    assert any_model.network.frames(torch.randn(1, 1, shortest - 1)).features.shape[-1] == 1


def test_a_model_moves_to_a_device_and_back(local_model, device):
    assert local_model.to(device).device.type == device
    assert local_model.to("cpu").device == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", 1.5])
def test_an_unknown_device_is_refused(name):
    with pytest.raises(ConfigurationError, match="use auto, cpu, cuda"):
        resolve_device(name)  # type: ignore[arg-type]


def test_an_absent_device_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigurationError, match="no CUDA device is available here; use cpu or auto"):
        resolve_device("cuda")


@pytest.mark.parametrize(
    ("cuda", "mps", "kind"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")], ids=str
)
def test_auto_is_the_fastest_device_that_is_there(monkeypatch, cuda, mps, kind):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert resolve_device("auto").type == kind


def test_the_default_model_is_one_of_those_in_the_package():
    model = Model.from_pretrained()
    assert model.architecture.frame_local
    assert model.card.threshold is not None
    assert model.fingerprint == Model.from_pretrained(DEFAULT).fingerprint


@pytest.mark.parametrize("name", PACKAGED)
def test_every_model_in_the_package_is_found_by_its_name(name):
    model = Model.from_pretrained(name)
    assert model.card.name == name
    assert model.card.licence != "unknown"
    assert name in repr(model)

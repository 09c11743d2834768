"""Our own format keeps a model whole, and says what is wrong with a file that is not one."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from toy import ToyDescription, toy_model

from streamer import Model
from streamer.errors import (
    CheckpointMismatch,
    CheckpointUnreadable,
    ConfigurationError,
    ModelNotFound,
    WrongArchitecture,
)
from streamer.models import checkpoint
from streamer.models.checkpoint.native import FORMAT
from streamer.models.model import ModelCard


@pytest.fixture
def saved(local_model, tmp_path):
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, local_model)
    return path


def metadata_of(data: bytes) -> dict[str, str]:
    return dict(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"])


def test_what_is_saved_comes_back(any_model, tmp_path):
    card = ModelCard("name", threshold=0.25, licence="MIT", details={"eer": 0.1, "recipe": {"steps": [1, 2]}})
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, Model(any_model.network, card))
    loaded = Model.from_pretrained(path)
    assert loaded.card == card
    assert loaded.architecture == any_model.architecture
    assert loaded.fingerprint == any_model.fingerprint
    samples = torch.randn(1, 1, 8_000)
    torch.testing.assert_close(loaded(samples), any_model(samples), rtol=0, atol=0)


def test_half_precision_is_stored_and_used_as_single(local_model, tmp_path):
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, local_model, torch.float16)
    assert path.stat().st_size < 10_000_000
    loaded = Model.from_pretrained(path)
    assert loaded.network.embedding.weight.dtype == torch.float32
    samples = torch.randn(1, 1, 16_000, generator=torch.Generator().manual_seed(0))
    cosine = torch.nn.functional.cosine_similarity(loaded(samples), local_model(samples))
    assert cosine.item() > 0.9999


def test_two_loaded_models_share_nothing(saved):
    first, second = Model.from_pretrained(saved), Model.from_pretrained(saved)
    first.network.embedding.bias += 1
    assert not torch.equal(first.network.embedding.bias, second.network.embedding.bias)


def test_a_binary_file_object_will_do(saved, local_model):
    assert Model.from_pretrained(io.BytesIO(saved.read_bytes())).fingerprint == local_model.fingerprint


def test_a_directory_with_the_file_will_do(saved, local_model):
    assert Model.from_pretrained(saved.parent).fingerprint == local_model.fingerprint


def test_safetensors_of_others_are_refused_with_the_way_out(saved):
    with pytest.raises(WrongArchitecture, match="model convert"):
        Model.from_pretrained(io.BytesIO(save_tensors({"a": torch.zeros(1)}, {"format": "pt"})))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"architecture": "{"}, CheckpointUnreadable),
        ({"architecture": '{"depth": 3}'}, WrongArchitecture),
        ({"architecture": "[]"}, CheckpointUnreadable),
        ({"threshold": '"high"'}, CheckpointUnreadable),
        ({"details": "{" * 100_000}, CheckpointUnreadable),
        ({"format": f"{FORMAT}9"}, WrongArchitecture),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value.__name__,
)
def test_damaged_metadata_is_named(saved, change, error):
    data = saved.read_bytes()
    with pytest.raises(error):
        Model.from_pretrained(io.BytesIO(save_tensors(load_tensors(data), metadata_of(data) | change)))


def test_tensors_that_do_not_fit_are_named(saved):
    data = saved.read_bytes()
    tensors = load_tensors(data)
    for change, words in (
        ({"speech.bias": torch.tensor([torch.nan])}, "speech.bias holds NaN"),
        ({"more": torch.zeros(1)}, "left over more"),
        ({"speech.bias": torch.zeros(2)}, "speech.bias has shape"),
    ):
        with pytest.raises(CheckpointMismatch, match=words):
            Model.from_pretrained(io.BytesIO(save_tensors(tensors | change, metadata_of(data))))
    del tensors["speech.bias"]
    with pytest.raises(CheckpointMismatch, match=r"missing speech\.bias"):
        Model.from_pretrained(io.BytesIO(save_tensors(tensors, metadata_of(data))))


@pytest.mark.parametrize("keep", [7, 9, 1_000, -1])
def test_a_truncated_file_is_refused(saved, keep):
    with pytest.raises(CheckpointUnreadable):
        Model.from_pretrained(io.BytesIO(saved.read_bytes()[:keep]))


def no_model(tmp_path: Path) -> dict[str, tuple[Any, type[Exception], str]]:
    lfs = tmp_path / "lfs.bin"
    lfs.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 17\n")
    page = tmp_path / "page.bin"
    page.write_text("<!doctype html><title>404</title>")
    empty = tmp_path / "empty.bin"
    empty.touch()
    (tmp_path / "nothing").mkdir()
    return {
        "a Git LFS pointer": (lfs, CheckpointUnreadable, "git lfs pull"),
        "a web page": (page, CheckpointUnreadable, "web page"),
        "an empty file": (empty, CheckpointUnreadable, "0 bytes"),
        "an empty directory": (tmp_path / "nothing", ModelNotFound, "pytorch_model.bin, model.safetensors"),
        "a mistyped path": (str(tmp_path / "none.bin"), ModelNotFound, "no file or directory"),
        "a relative mistyped path": ("models/none.bin", ModelNotFound, "no file or directory"),
        "a Path is never an id": (Path("pyannote/embedding"), ModelNotFound, "no file or directory"),
        "text": (io.StringIO("x"), ConfigurationError, "open it as binary"),
        "a number": (3, ConfigurationError, "not by a int"),
    }


NO_MODEL = [
    "a Git LFS pointer",
    "a web page",
    "an empty file",
    "an empty directory",
    "a mistyped path",
    "a relative mistyped path",
    "a Path is never an id",
    "text",
    "a number",
]


@pytest.mark.parametrize("name", NO_MODEL)
def test_what_is_no_model_is_named(tmp_path, name):
    source, error, words = no_model(tmp_path)[name]
    with pytest.raises(error, match=words):
        Model.from_pretrained(source)


def test_settings_that_contradict_the_source_are_refused(saved):
    with pytest.raises(ConfigurationError, match="revision='v1' is for Hugging Face ids"):
        Model.from_pretrained(saved, revision="v1")
    with pytest.raises(ConfigurationError, match="use_auth_token"):
        Model.from_pretrained(saved, token="a", use_auth_token="b")


def test_a_family_that_was_made_known_is_read_again(tmp_path):
    model = toy_model(ToyDescription(dimension=5))
    checkpoint.save(tmp_path / "toy.safetensors", model)

    loaded = Model.from_pretrained(tmp_path / "toy.safetensors")

    assert loaded.architecture == model.architecture
    assert loaded.fingerprint == model.fingerprint
    with safe_open(tmp_path / "toy.safetensors", "pt") as file:
        assert file.metadata()["family"] == "toy"


def test_a_sincnet_says_nothing_of_its_family(tmp_path, local_model):
    checkpoint.save(tmp_path / "local.safetensors", local_model)
    with safe_open(tmp_path / "local.safetensors", "pt") as file:
        assert "family" not in file.metadata()


def test_a_family_that_nobody_made_known_is_refused(tmp_path):
    checkpoint.save(tmp_path / "other.safetensors", toy_model(ToyDescription(family="another toy")))
    with pytest.raises(WrongArchitecture, match=r"'another toy' is not known here, only campplus, onnx, sincnet, toy"):
        Model.from_pretrained(tmp_path / "other.safetensors")

"""A model that is exported gives the same embeddings in onnxruntime, for any length; what cannot be is refused."""

from __future__ import annotations

import copy

import pytest
import torch

from streamer import Model
from streamer.cli import main
from streamer.errors import CheckpointError
from streamer.models import to_onnx


def test_an_exported_file_is_the_model_wherever_one_is_named(tmp_path, capsys):
    file = tmp_path / "sincnet.onnx"
    assert main(["export", "sincnet", "--onnx", str(file)]) == 0
    assert "torch's" in capsys.readouterr().out
    original, exported = Model.from_pretrained("sincnet"), Model.from_pretrained(file)
    for seconds in (0.6, 3.0, 7.1):
        waves = 0.1 * torch.randn(2, 1, int(seconds * 16_000), generator=torch.Generator().manual_seed(1))
        assert torch.cosine_similarity(original(waves), exported(waves)).min() > 1 - 1e-5
    assert main(["export", "sincnet", "--onnx", str(file)]) == 2
    assert "--force" in capsys.readouterr().err


def test_both_kinds_of_norms_are_exported(any_model):
    _, difference = to_onnx.to_onnx(any_model)
    assert difference <= to_onnx.TOLERANCE


def test_a_file_that_gives_something_else_is_not_kept(local_model, monkeypatch):
    other = Model(copy.deepcopy(local_model.network), local_model.card)
    with torch.no_grad():
        other.network.embedding.weight += 0.01 * torch.randn(other.network.embedding.weight.shape)
    assert to_onnx.compared(local_model, local_model) <= to_onnx.TOLERANCE < to_onnx.compared(local_model, other)
    monkeypatch.setattr(to_onnx, "TOLERANCE", -1.0)
    with pytest.raises(CheckpointError, match="differ"):
        to_onnx.to_onnx(local_model)


def test_what_cannot_be_exported_is_said(tmp_path, capsys):
    assert main(["export", "campplus", "--onnx", str(tmp_path / "a.onnx")]) == 2
    assert "only SincNet" in capsys.readouterr().err
    assert main(["export", "sincnet", "--onnx", str(tmp_path / "a.pt")]) == 2
    assert list(tmp_path.iterdir()) == []

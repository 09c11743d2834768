"""Checkpoints as pyannote.audio makes them, foreign objects and all, without pyannote.audio."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch

from streamer import Model

Writer = Callable[..., bytes]

#: What real checkpoints pickle: omegaconf's nodes, pyannote's specifications, torch's version string.
FOREIGN = {
    "omegaconf.listconfig": ["ListConfig"],
    "omegaconf.nodes": ["AnyNode"],
    "pyannote.audio.core.task": ["Specifications", "Resolution"],
    "pyannote.audio.core.model": ["Introspection"],
}


@pytest.fixture
def write_checkpoint(monkeypatch, pyannote_model):
    """The bytes of a Lightning checkpoint: `change` is called with its dictionary before it is written."""

    def write(change: Callable[[dict[str, Any]], Any] = lambda checkpoint: None, **save_arguments: Any) -> bytes:
        with monkeypatch.context() as patch:
            classes = _foreign_classes(patch)
            checkpoint = _checkpoint(pyannote_model, classes)
            change(checkpoint)
            file = io.BytesIO()
            torch.save(checkpoint, file, **save_arguments)
        # Now none of those classes can be imported any more.
        return file.getvalue()

    return write


def _foreign_classes(patch: pytest.MonkeyPatch) -> dict[str, type]:
    classes: dict[str, type] = {}
    for module_name, names in FOREIGN.items():
        parts = module_name.split(".")
        for depth in range(1, len(parts) + 1):
            name = ".".join(parts[:depth])
            if name not in sys.modules:
                patch.setitem(sys.modules, name, ModuleType(name))
        for name in names:
            classes[name] = type(name, (), {"__module__": module_name})
            setattr(sys.modules[module_name], name, classes[name])
    return classes


def _checkpoint(model: Model, classes: dict[str, type]) -> dict[str, Any]:
    def make(name: str, **state: Any) -> Any:
        value = classes[name]()
        value.__dict__.update(state)
        return value

    state = model.network.state_dict()
    return {
        "epoch": 12,
        "pytorch-lightning_version": "1.5.4",
        "state_dict": state,
        "optimizer_states": [{"state": {0: {"step": 1, "exp_avg": torch.zeros(3)}}}],
        "hparams_name": "kwargs",
        "hyper_parameters": {
            "sample_rate": 16_000,
            "num_channels": 1,
            "sincnet": {"stride": make("AnyNode", _val=10), "sample_rate": 16_000},
            "dimension": model.dimension,
            "unused": make("ListConfig", _content=[make("AnyNode", _val=1)]),
        },
        "pyannote.audio": {
            "versions": {"torch": torch.torch_version.TorchVersion("1.10.0+cu102"), "pyannote.audio": "2.0.0"},
            "architecture": {"module": "pyannote.audio.models.embedding.xvector", "class": "XVectorSincNet"},
            "introspection": make("Introspection", dimension=model.dimension),
            "specifications": make(
                "Specifications", duration=5.0, resolution=make("Resolution"), classes=["one", "two"]
            ),
        },
    }

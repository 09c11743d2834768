"""Our own format: one safetensors file whose metadata holds all that is needed to use its tensors."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from streamer.errors import CheckpointUnreadable, WrongArchitecture
from streamer.models.architecture import Architecture
from streamer.models.checkpoint.build import build_network
from streamer.models.model import Model, ModelCard

FORMAT = "streamer-1"


def save(path: str | os.PathLike[str], model: Model, dtype: torch.dtype = torch.float32) -> None:
    """Write a model to `path`; floating-point tensors are stored as `dtype`."""
    tensors = {
        name: tensor.detach().to("cpu", dtype if tensor.is_floating_point() else tensor.dtype).contiguous()
        for name, tensor in model.network.state_dict().items()
    }
    card = model.card
    metadata = {
        "format": FORMAT,
        "architecture": json.dumps(model.architecture.to_dict()),
        "name": card.name,
        "threshold": json.dumps(card.threshold),
        "licence": card.licence,
        "details": json.dumps(card.details),
    }
    save_file(tensors, os.fspath(path), metadata=metadata)


def load(path: Path) -> Model:
    """Read a model that `save` wrote. Raises a CheckpointError."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise CheckpointUnreadable(f"{str(path)!r} is not a readable safetensors file: {error}.") from error
    if metadata.get("format") != FORMAT:
        raise WrongArchitecture(
            f"{str(path)!r} is a safetensors file, but not a model of ours (format {metadata.get('format')!r}, "
            f"needed {FORMAT!r}); `streamer model convert` makes one from a pyannote checkpoint."
        )
    try:
        architecture = Architecture.from_dict(json.loads(metadata["architecture"]))
        card = ModelCard(metadata["name"], _number(metadata), metadata["licence"], json.loads(metadata["details"]))
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointUnreadable(f"{str(path)!r} has damaged metadata: {error!r}.") from error
    return Model(build_network(architecture, tensors, str(path)), card)


def _number(metadata: dict[str, str]) -> float | None:
    value: Any = json.loads(metadata["threshold"])
    return None if value is None else float(value)

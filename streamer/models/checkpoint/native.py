"""This package's format: a safetensors file whose metadata has everything needed to use its tensors."""

from __future__ import annotations

import json
import os
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save_file

from streamer.errors import CheckpointUnreadable, WrongArchitecture
from streamer.models.card import Checkpoint, ModelCard
from streamer.models.checkpoint.build import build_network
from streamer.models.families import SINCNET, family_named
from streamer.models.network import Network

FORMAT = "streamer-1"

#: Tensors up to this size always keep their precision: float16 would distort the sinc filters, and
#: biases and norms take almost no space.
SMALL = 4096
#: The name of the tensor that does not belong to the network.
COHORT = "cohort"


class HasWeights(Protocol):
    """The part of `Model` that a checkpoint needs."""

    network: Network
    card: ModelCard
    cohort: NDArray[np.floating] | None


def save(path: str | os.PathLike[str], model: Checkpoint | HasWeights, dtype: torch.dtype = torch.float32) -> None:
    """Write a model to `path`; large floating-point tensors are stored as `dtype`."""
    tensors = {
        name: tensor.detach()
        .to("cpu", dtype if tensor.is_floating_point() and tensor.numel() > SMALL else tensor.dtype)
        .contiguous()
        for name, tensor in model.network.state_dict().items()
    }
    if model.cohort is not None:
        tensors[COHORT] = torch.from_numpy(np.asarray(model.cohort, np.float16))
    card, family = model.card, model.network.architecture.family
    metadata = {
        "format": FORMAT,
        # Earlier checkpoints have no family; older versions read them, and know no other family.
        **({} if family == SINCNET else {"family": family}),
        "architecture": json.dumps(model.network.architecture.to_dict()),
        "name": card.name,
        "threshold": json.dumps(card.threshold),
        "licence": card.licence,
        "details": json.dumps(card.details),
    }
    save_file(tensors, os.fspath(path), metadata=metadata)


def load(data: bytes, path: str) -> Checkpoint:
    """Read a model that `save` wrote; `path` appears in messages. Raises a CheckpointError."""
    try:
        tensors = load_tensors(data)
        metadata = _metadata(data)
    except (SafetensorError, KeyError, ValueError, RecursionError) as error:
        raise CheckpointUnreadable(f"{path!r} is not a readable safetensors file: {error}.") from error
    if metadata.get("format") != FORMAT:
        raise WrongArchitecture(
            f"{path!r} is a safetensors file, but not a model of ours (format {metadata.get('format')!r}, "
            f"needed {FORMAT!r}); `streamer model convert` makes one from a pyannote checkpoint."
        )
    try:
        architecture = family_named(metadata.get("family", SINCNET)).describe(json.loads(metadata["architecture"]))
        card = ModelCard(metadata["name"], _number(metadata), metadata["licence"], json.loads(metadata["details"]))
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointUnreadable(f"{path!r} has damaged metadata: {error!r}.") from error
    cohort = tensors.pop(COHORT, None)
    if cohort is not None and (cohort.dim() != 2 or cohort.shape[1] != architecture.dimension):
        raise CheckpointUnreadable(
            f"{path!r} has a cohort of shape {tuple(cohort.shape)}; it must be (voices, {architecture.dimension})."
        )
    return Checkpoint(
        build_network(architecture, tensors, path), card, None if cohort is None else cohort.float().numpy()
    )


def _metadata(data: bytes) -> dict[str, str]:
    """Parse the JSON header after its 8-byte length; safetensors' reader of bytes does not return the metadata."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return dict(header.get("__metadata__", {}))


def _number(metadata: dict[str, str]) -> float | None:
    value: Any = json.loads(metadata["threshold"])
    return None if value is None else float(value)

"""Our own format: one safetensors file whose metadata holds all that is needed to use its tensors."""

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

#: Tensors up to this size are always stored as they are: halving the sinc filters' tables would bend the filters, and
#: biases and norms together weigh next to nothing.
SMALL = 4096
#: The name of the tensor that is not the network's.
COHORT = "cohort"


class HasWeights(Protocol):
    """A `Model`, as far as a checkpoint needs it."""

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
        # Those before there were families say nothing of theirs, and are read by versions that know no other.
        **({} if family == SINCNET else {"family": family}),
        "architecture": json.dumps(model.network.architecture.to_dict()),
        "name": card.name,
        "threshold": json.dumps(card.threshold),
        "licence": card.licence,
        "details": json.dumps(card.details),
    }
    save_file(tensors, os.fspath(path), metadata=metadata)


def load(data: bytes, path: str) -> Checkpoint:
    """Read a model that `save` wrote; `path` stands in the messages. Raises a CheckpointError."""
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
    """The header is JSON after its length in 8 bytes; safetensors' own reader of bytes does not give its metadata."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return dict(header.get("__metadata__", {}))


def _number(metadata: dict[str, str]) -> float | None:
    value: Any = json.loads(metadata["threshold"])
    return None if value is None else float(value)

"""Builds a network from tensors, and reports every mismatch."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from streamer.errors import CheckpointMismatch
from streamer.models.families import family_named
from streamer.models.network import Description, Network

#: Most names in a message; further ones are counted.
LISTED = 5


def build_network(architecture: Description, tensors: Mapping[str, Tensor], name: str) -> Network:
    """A network with exactly these tensors, as float32; `name` is that of the checkpoint, for messages.

    Raises CheckpointMismatch for a tensor that is missing, left over, of another shape or dtype, or not finite.
    """
    # On the meta device, no random weights are made, which would be replaced at once.
    with torch.device("meta"):
        network = family_named(architecture.family).build(architecture)
    expected = network.state_dict()
    problems = [
        (expected.keys() - tensors.keys(), "missing"),
        (tensors.keys() - expected.keys(), "left over"),
    ]
    for names, problem in problems:
        if names:
            raise CheckpointMismatch(f"{name!r} does not fit {architecture}: {problem} {_listed(names)}.")
    for key, tensor in tensors.items():
        wanted = expected[key]
        if tensor.shape != wanted.shape:
            raise CheckpointMismatch(
                f"{name!r}: {key} has shape {tuple(tensor.shape)}, this network needs {tuple(wanted.shape)}."
            )
        if tensor.is_floating_point() != wanted.is_floating_point() or tensor.is_complex():
            raise CheckpointMismatch(f"{name!r}: {key} is {tensor.dtype}, this network needs {wanted.dtype}.")
        if not _finite(tensor):
            raise CheckpointMismatch(f"{name!r}: {key} holds NaN or infinite values; the checkpoint is damaged.")
    # Cloned, so that networks and the caller share no tensors.
    values = {key: tensor.detach().to(expected[key].dtype, copy=True) for key, tensor in tensors.items()}
    network.load_state_dict(values, assign=True)
    return network


def _finite(tensor: Tensor) -> bool:
    # One pass instead of four: NaN and infinity survive in a sum, and no sum of these values overflows.
    if tensor.dtype in (torch.float16, torch.bfloat16, torch.float32):
        return math.isfinite(tensor.sum(dtype=torch.float64).item())
    return bool(torch.isfinite(tensor).all())


def _listed(names: set[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - LISTED} more" if len(ordered) > LISTED else ""
    return ", ".join(ordered[:LISTED]) + more

"""Reads 3D-Speaker's checkpoints of CAM++, a flat dictionary of tensors, as data."""

from __future__ import annotations

from streamer.errors import CheckpointMismatch
from streamer.models.campplus.architecture import CamPlusPlusArchitecture
from streamer.models.campplus.convert import MARK, folded
from streamer.models.card import Checkpoint, ModelCard
from streamer.models.checkpoint.build import build_network
from streamer.models.checkpoint.pickles import mapping_of
from streamer.models.checkpoint.torchfile import TorchFile


def wrote(checkpoint: TorchFile) -> bool:
    """Whether a file's dictionary has the tensor names of 3D-Speaker's CAM++."""
    return MARK in mapping_of(checkpoint.content)


def load(checkpoint: TorchFile, name: str, path: str) -> Checkpoint:
    """Read a CAM++ of 3D-Speaker. `name` is the name of the model, `path` appears in messages.

    Raises CheckpointMismatch for one of another size, or with missing tensors.
    """
    try:
        state = folded(checkpoint.tensors(checkpoint.content))
    except (KeyError, RuntimeError, IndexError) as error:
        raise CheckpointMismatch(f"{path!r} has no tensor {error} of a CAM++ of 3D-Speaker.") from error
    network = build_network(CamPlusPlusArchitecture(dimension=len(state["embedding.bias"])), state, path)
    return Checkpoint(network, ModelCard(name, details={"class": "3D-Speaker CAMPPlus"}))

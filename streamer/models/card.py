"""The contents of a checkpoint: a network, its model card, and a cohort of other people's embeddings."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from streamer.models.network import Network

#: A path, the name of a model, or an open binary file.
Source = str | os.PathLike[str] | IO[bytes]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """The description of a model, stored beside its weights.

    threshold: cosine similarity from which two embeddings are called the same speaker; None where none was measured.
    details: provenance and calibration as written by training (plain JSON values).
    """

    name: str
    threshold: float | None = None
    licence: str = "unknown"
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint as it was read; `Model` makes it ready for use.

    cohort: embeddings (voices, dimension) of many people; None where the checkpoint has none.
    """

    network: Network
    card: ModelCard
    cohort: NDArray[np.floating] | None = None

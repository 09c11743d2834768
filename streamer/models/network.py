"""The interface of a network: a module that embeds waveforms, and describes the clock of its frames.

A network is any `torch.nn.Module` with the members of `Network`. Its `architecture` has its grid, its dimension and its
abilities; no other code contains the numbers of one network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from streamer.models.grid import FrameGrid
from streamer.models.head import Head


class Description(Protocol):
    """The hyper-parameters of a network in its family. Its `repr` is part of the model's fingerprint."""

    @property
    def family(self) -> str:
        """The name under which `streamer.models.families` builds it, and `streamer.engine.families` streams it."""
        ...

    @property
    def grid(self) -> FrameGrid:
        """The grid of the pooled frames; for a network without frames, of the weights that it would take."""
        ...

    @property
    def dimension(self) -> int:
        """Length of the embedding."""
        ...

    @property
    def minimum_frames(self) -> int:
        """The fewest frames that have an embedding."""
        ...

    @property
    def frame_local(self) -> bool:
        """Whether each frame of a stream can be computed once, and windows pooled from frames, with the same result."""
        ...

    @property
    def speech_head(self) -> bool:
        """Whether `Frames.speech` is available."""
        ...

    def to_dict(self) -> Mapping[str, Any]:
        """Plain JSON values for a checkpoint, from which the family makes the description again."""
        ...


@dataclass(frozen=True, slots=True)
class Frames:
    """A network's outputs for each frame.

    features: (batch, channels, frames). attention: (batch, frames) in (0, 1), or None. speech: (batch, frames) logits,
    or None. overlap: (batch, frames) in (0, 1), the probability that more than one speaks, or None.
    """

    features: Tensor
    attention: Tensor | None = None
    speech: Tensor | None = None
    overlap: Tensor | None = None


class Network(Protocol):
    """A module that embeds waveforms: (batch, 1, samples) float32 at 16 kHz -> (batch, dimension).

    Methods without a docstring are those of `torch.nn.Module`.
    """

    @property
    def architecture(self) -> Description: ...

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        ...

    @property
    def head(self) -> Head | None:
        """Turns pooled moments of frames into embeddings; None if the network has no frames that can be pooled
        outside."""
        ...

    def __call__(self, waveforms: Tensor, weights: Tensor | None = None) -> Tensor:
        """weights: one for each frame of its grid, (batch, frames); a network that cannot weight frames ignores
        them."""
        ...

    def eval(self) -> Any: ...

    def requires_grad_(self, requires_grad: bool = True) -> Any: ...

    def to(self, device: torch.device, /) -> Any: ...

    def state_dict(self) -> Mapping[str, Tensor]: ...

    def load_state_dict(self, state_dict: Mapping[str, Tensor], strict: bool = True, assign: bool = False) -> Any: ...

    def parameters(self) -> Iterator[Tensor]: ...


class FrameNetwork(Network, Protocol):
    """A network in two halves: one computes frames, the other pools them."""

    def frames(self, waveforms: Tensor) -> Frames:
        """Everything computed for each frame before pooling."""
        ...

    def pool(self, frames: Frames, weights: Tensor | None = None) -> Tensor:
        """Embeddings (batch, dimension) of frames, with a weight for each, (batch, frames), or none."""
        ...

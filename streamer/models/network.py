"""What a network is to the rest of the house: a module that embeds waveforms, and says by which clock it does.

A network is any `torch.nn.Module` with what `Network` asks for. Whoever uses one reads its grid, its dimension and what
it can do from its `architecture`; nothing else of the house knows the numbers of one network.
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
    """What distinguishes one network from another of its family. Its `repr` is part of the model's fingerprint."""

    @property
    def family(self) -> str:
        """By which `streamer.models.families` builds it, and `streamer.engine.families` streams it."""
        ...

    @property
    def grid(self) -> FrameGrid:
        """Of the frames that are pooled; of a network without frames, of the weights that it would take."""
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
        """Whether the frames of a stream can be computed once each, and windows pooled from them, without a loss."""
        ...

    @property
    def speech_head(self) -> bool:
        """Whether `Frames.speech` is given."""
        ...

    def to_dict(self) -> Mapping[str, Any]:
        """What a checkpoint keeps of it: plain JSON values, which its family reads again."""
        ...


@dataclass(frozen=True, slots=True)
class Frames:
    """What a network says of each frame.

    features: (batch, channels, frames). attention: (batch, frames) in (0, 1), or None. speech: (batch, frames) logits,
    or None. overlap: (batch, frames) in (0, 1), the probability that more than one speaks, or None.
    """

    features: Tensor
    attention: Tensor | None = None
    speech: Tensor | None = None
    overlap: Tensor | None = None


class Network(Protocol):
    """A module that embeds waveforms: (batch, 1, samples) float32 at 16 kHz -> (batch, dimension).

    The methods without a word here are those of `torch.nn.Module`.
    """

    @property
    def architecture(self) -> Description: ...

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        ...

    @property
    def head(self) -> Head | None:
        """From pooled moments of its frames to embeddings; None where it has no frames to be pooled elsewhere."""
        ...

    def __call__(self, waveforms: Tensor, weights: Tensor | None = None) -> Tensor:
        """weights: one for each frame of its grid, (batch, frames); a network that cannot weigh frames ignores them."""
        ...

    def eval(self) -> Any: ...

    def requires_grad_(self, requires_grad: bool = True) -> Any: ...

    def to(self, device: torch.device, /) -> Any: ...

    def state_dict(self) -> Mapping[str, Tensor]: ...

    def load_state_dict(self, state_dict: Mapping[str, Tensor], strict: bool = True, assign: bool = False) -> Any: ...

    def parameters(self) -> Iterator[Tensor]: ...


class FrameNetwork(Network, Protocol):
    """A network in two halves: frames, and what is made of them."""

    def frames(self, waveforms: Tensor) -> Frames:
        """All that is known of each frame before pooling."""
        ...

    def pool(self, frames: Frames, weights: Tensor | None = None) -> Tensor:
        """Embeddings (batch, dimension) of frames, with a weight for each, (batch, frames), or none."""
        ...

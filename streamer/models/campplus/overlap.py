"""The number of speakers (none, one, more) in a frame of streaming CAM++: a small recurrent head on an early layer.

The layers after the first dense block learn to ignore everything but one voice; its output still tells two voices from
one. The head keeps its memory of earlier speech in a gated recurrent unit (Cho et al., 2014,
https://arxiv.org/abs/1406.1078), so it can be computed once for each frame, like the other layers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from streamer.models.carry import Carry

#: Channels after the first dense block.
EARLY = 256
INNER = 96
#: Nobody speaks, one person does, two or more do.
COUNTS = 3


class OverlapHead(nn.Module):
    """Blocks (frames, streams, 256) after the first dense block -> logits (frames, streams, 3) of none, one, more."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(EARLY, INNER)
        self.memory = nn.GRU(INNER, INNER)
        self.count = nn.Linear(INNER, COUNTS)

    def forward(self, early: Tensor, carry: Carry) -> Tensor:
        heard, _ = self.memory(self.inner(early).relu_(), carry.take(1, INNER).contiguous())
        carry.keep_last(heard, 1)
        logits: Tensor = self.count(heard)
        return logits


def overlap_of(logits: Tensor) -> Tensor:
    """The probability of more than one speaker, from the head's logits: (frames, streams) in (0, 1)."""
    return torch.softmax(logits, 2)[..., 2]

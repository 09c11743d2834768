"""Whether nobody, one or more speak in a frame of CAM++ of the past: a small recurrent head on an early layer.

The layers behind the first dense block are there to forget what is not one voice; what tells two from one is still in
its output. The head remembers who has been heard by a gated recurrent unit (Cho et al., 2014,
https://arxiv.org/abs/1406.1078), so that it can be computed once for each frame, as all else.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from streamer.models.carry import Carry

#: Channels behind the first dense block.
EARLY = 256
INNER = 96
#: Nobody speaks, one does, two or more do.
COUNTS = 3


class OverlapHead(nn.Module):
    """Blocks (frames, streams, 256) behind the first dense block -> logits (frames, streams, 3) of none, one, more."""

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
    """The probability that more than one speaks, of the head's logits: (frames, streams) in (0, 1)."""
    return torch.softmax(logits, 2)[..., 2]

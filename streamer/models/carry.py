"""The state that layers keep from block to block, for many streams at once.

A block is (time, streams, channels). Layers advance in hops of one frame, so that every layer moves by a whole number
of its positions and its state has a constant size. Streams with fewer new hops than the longest in the batch are
padded; results for the padding are never kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Carry:
    """The state of a batch, one row for each stream, split and rebuilt layer by layer, in the layers' order.

    rows (streams, size) float32; hops (streams,) int64, each stream's number of hops in the block; common,
    that number if all streams have the same, so that the state to keep is a slice.
    """

    def __init__(self, rows: Tensor, hops: Tensor, common: int | None) -> None:
        self.rows = rows
        self.hops = hops
        self.common = common
        self.kept: list[Tensor] = []
        self.offset = 0

    def extend(self, block: Tensor, context: int, rate: int) -> Tensor:
        """Put the last `context` positions of the past before a block (time, streams, channels) of `rate` a hop."""
        if context == 0:
            return block
        extended = torch.cat([self.take(context, block.shape[2]).to(block.dtype), block])
        self.keep(extended, context, rate)
        return extended

    def room(self, like: Tensor, time: int, channels: int, context: int) -> Tensor:
        """Memory for what the next layer sees, (context + time, streams, channels), of the type of `like` (.., streams,
        ..): its past is in front, and a block is to be written behind that. Then `remember` it."""
        past = self.take(context, channels)
        extended = like.new_empty(context + time, *past.shape[1:])
        extended[:context] = past
        return extended

    def remember(self, extended: Tensor, context: int, rate: int) -> None:
        """Keep what a layer needs of a block of `rate` a hop, written into its `room`, next time."""
        self.keep(extended, context, rate)

    def take(self, context: int, channels: int) -> Tensor:
        """The next layer's past (context, streams, channels); `keep` must set its next value."""
        size = context * channels
        past = self.rows[:, self.offset : self.offset + size].view(len(self.rows), context, channels)
        self.offset += size
        return past.transpose(0, 1)

    def keep(self, extended: Tensor, context: int, rate: int) -> None:
        """Keep, for each stream, the last `context` positions of its hops, from the past and the block after it,
        (context + time, streams, channels)."""
        streams, channels = extended.shape[1:]
        if self.common is not None:
            kept = extended[self.common * rate :][:context].transpose(0, 1)
        else:
            last = self.hops[:, None] * rate + torch.arange(context, device=extended.device)
            kept = extended[last, torch.arange(streams, device=extended.device)[:, None]]
        self.kept.append(kept.reshape(streams, context * channels))

    def keep_last(self, block: Tensor, rate: int) -> None:
        """Keep, for each stream, the position of its last hop in a block (time, streams, channels)."""
        if self.common is not None:
            self.kept.append(block[self.common * rate - 1])
        else:
            self.kept.append(block[self.hops * rate - 1, torch.arange(block.shape[1], device=block.device)])

    def divided(self, size: int, at_once: int) -> list[Carry]:
        """The next `size` of each row, as carries of at most `at_once` streams each; call `join` after using them."""
        own, self.offset = self.rows[:, self.offset : self.offset + size], self.offset + size
        pairs = zip(torch.split(own, at_once), torch.split(self.hops, at_once), strict=True)
        return [Carry(rows, hops, self.common) for rows, hops in pairs]

    def join(self, parts: Sequence[Carry]) -> None:
        """Keep the states that the parts from `divided` keep."""
        self.kept.append(torch.cat([part.next_rows() for part in parts]))

    def next_rows(self) -> Tensor:
        return torch.cat(self.kept, dim=1) if self.kept else self.rows


class NoCarry:
    """Whole windows have no past: every layer consumes frames of its own input."""

    def extend(self, block: Tensor, context: int, rate: int) -> Tensor:
        return block

    def room(self, like: Tensor, time: int, channels: int, context: int) -> Tensor:
        return like.new_empty(time, like.shape[1], channels)

    def remember(self, extended: Tensor, context: int, rate: int) -> None:
        pass

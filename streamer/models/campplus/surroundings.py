"""The context of a CAM++ frame: neighbouring rows and frames, and running means.

The layers are the same for both networks; this module provides their context. `WholeWindow` uses a whole window, as
published: zeros beyond its ends, means over all of it. `Past` continues a stream: convolutions look ahead as
far as the network waits anyway, taps and means look back, and their state is kept in a `Carry`.

Shapes: maps (streams, channels, rows, bands); blocks (frames, streams, channels).
"""

from __future__ import annotations

import functools
import math
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from streamer.models.carry import Carry

#: Time constant of running means in rows of the filter bank, and in frames (decay to 1/e): 2 s and 1.5 s.
ROWS_REMEMBERED = 200.0
FRAMES_REMEMBERED = 75.0
#: The weight of the average of speech at the start of a stream, in rows and frames; it decays in the same way: 1 s.
ROWS_EXPECTED = 100.0
FRAMES_EXPECTED = 50.0
#: Frames of a segment, whose mean a gate uses in addition to the window's.
SEGMENT = 100
#: Positions whose running sums are computed as one matrix product.
BLOCK = 50


class Surroundings(Protocol):
    """Provides the context of each position in a batch; its methods are called in the order of the layers."""

    def normalised(self, rows: Tensor, shape: Tensor, heard: Tensor) -> Tensor:
        """Rows of the filter bank (rows, streams, bands) minus their mean.

        shape (bands,): the average spectrum of speech relative to its level. heard (bands,): 1 for bands that are used.
        """
        ...

    def around_map(self, maps: Tensor) -> Tensor:
        """A map with the rows before and after it that a convolution of three taps needs for the same number of
        rows."""
        ...

    def past_two(self, around: Tensor) -> Tensor:
        """The part of `around_map`'s output that is aligned with the output of two convolutions."""
        ...

    def halved(self, block: Tensor, taps: int) -> Tensor:
        """The inputs of the taps of a convolution with stride two: (frames, streams, taps * channels)."""
        ...

    def around(self, block: Tensor, taps: int, dilation: int) -> Tensor:
        """A block with the frames before it, and after it if there are any, that a convolution of `taps` taps needs."""
        ...

    def mean(self, block: Tensor, expected: Tensor) -> tuple[Tensor, Tensor | None]:
        """The input of a gate: twice the mean of the block, (positions, streams, channels), and the position that each
        frame uses, (frames,); None if each frame uses its own.

        expected (channels,): the mean over speech in general.
        """
        ...


class WholeWindow:
    """Whole windows: zeros before and after, and means over the complete window."""

    def normalised(self, rows: Tensor, shape: Tensor, heard: Tensor) -> Tensor:
        return (rows - rows.mean(0)) * heard

    def around_map(self, maps: Tensor) -> Tensor:
        return F.pad(maps, (0, 0, 1, 1))

    def past_two(self, around: Tensor) -> Tensor:
        return around[:, :, 1:-1]

    def halved(self, block: Tensor, taps: int) -> Tensor:
        padded = F.pad(block, (0, 0, 0, 0, taps // 2, taps // 2))
        frames = (len(block) - 1) // 2 + 1
        return torch.cat([padded[tap : tap + 2 * frames - 1 : 2] for tap in range(taps)], 2)

    def around(self, block: Tensor, taps: int, dilation: int) -> Tensor:
        side = dilation * (taps - 1) // 2
        return F.pad(block, (0, 0, 0, 0, side, side)) if side else block

    def mean(self, block: Tensor, expected: Tensor) -> tuple[Tensor, Tensor | None]:
        segments = torch.stack([segment.mean(0) for segment in torch.split(block, SEGMENT)])
        return segments + block.mean(0), torch.arange(len(block), device=block.device) // SEGMENT


class Past:
    """Streams at their current positions: their past is in `carry`, in the order of the layers."""

    def __init__(self, carry: Carry) -> None:
        self.carry = carry
        self._counted: tuple[Tensor, Tensor] | None = None

    def normalised(self, rows: Tensor, shape: Tensor, heard: Tensor) -> Tensor:
        """The expected mean is that of average speech at the level heard so far, so that a gain cancels."""
        fading = self._fading(len(rows), 2, ROWS_REMEMBERED)
        total = self._sum(rows, 2, ROWS_REMEMBERED)
        count = (1 - fading) / (1 - math.exp(-1 / ROWS_REMEMBERED))
        level = (total / count) @ (heard / heard.sum())
        expected = ROWS_EXPECTED * fading
        mean = (total + expected * (shape + level[..., None])) / (count + expected)
        return (rows - mean) * heard

    def around_map(self, maps: Tensor) -> Tensor:
        streams, channels, _, bands = maps.shape
        past = self.carry.take(2, channels * bands).reshape(2, streams, bands, channels).permute(1, 3, 0, 2)
        around = torch.cat([past, maps], 2)
        # Flattened in memory order, channels last.
        self.carry.keep(around.permute(2, 0, 3, 1).flatten(2), 2, 2)
        return around

    def past_two(self, around: Tensor) -> Tensor:
        return around[:, :, :-2]

    def halved(self, block: Tensor, taps: int) -> Tensor:
        seen = self.carry.extend(block, taps - 2, 2)
        return torch.cat([seen[tap : tap + len(block) - 1 : 2] for tap in range(taps)], 2)

    def around(self, block: Tensor, taps: int, dilation: int) -> Tensor:
        return self.carry.extend(block, dilation * (taps - 1), 1)

    def mean(self, block: Tensor, expected: Tensor) -> tuple[Tensor, Tensor | None]:
        weight, counted = self.frames_counted(len(block))
        total = self._sum(block, 1, FRAMES_REMEMBERED)
        return torch.addcmul(total, counted, expected).mul_(weight), None

    def frames_counted(self, length: int) -> tuple[Tensor, Tensor]:
        """The factor from a running sum over frames to twice its mean, and the share of the expected average to add to
        the sum before, (length, streams, 1) each: the same for all layers."""
        if self._counted is None:
            fading = self._fading(length, 1, FRAMES_REMEMBERED)
            count = (1 - fading) / (1 - math.exp(-1 / FRAMES_REMEMBERED))
            self._counted = 2 / (count + FRAMES_EXPECTED * fading), FRAMES_EXPECTED * fading
        return self._counted

    def _fading(self, length: int, rate: int, remembered: float) -> Tensor:
        """The remaining weight of a stream's start at each position, (length, streams, 1).

        The carry stores the part that has decayed, so that a new carry is all zeros.
        """
        gone = self.carry.take(1, 1)
        _, fading = decay(length, remembered, gone.device)
        left = (1 - gone) * fading[:, None, None]
        self.carry.keep_last(1 - left, rate)
        return left

    def _sum(self, block: Tensor, rate: int, remembered: float) -> Tensor:
        """The running sum, with exponentially decaying weights: (length, streams, channels)."""
        sums = running_sum(block, self.carry.take(1, block.shape[2])[0], remembered)
        self.carry.keep_last(sums, rate)
        return sums


def running_sum(block: Tensor, before: Tensor, remembered: float) -> Tensor:
    """s_t = exp(-1 / remembered) * s_(t-1) + x_t for a block (time, streams, channels).

    before (streams, channels): s before the first position. One matrix product for each 50 positions; row t of the
    matrix has the weights of the positions up to t.
    """
    last, sums = before.reshape(1, -1), []
    for rows in torch.split(block.flatten(1), BLOCK):
        kept, fading = decay(len(rows), remembered, block.device)
        sums.append(torch.addmm(fading[:, None] * last, kept, rows))
        last = sums[-1][-1:]
    return (torch.cat(sums) if len(sums) > 1 else sums[0]).view(block.shape)


@functools.lru_cache(maxsize=256)
def decay(length: int, remembered: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """The weight of position s at position t, (length, length), and that of the sum before the first, (length,)."""
    time = torch.arange(length, dtype=torch.float64)
    ago = time[:, None] - time
    kept = torch.exp(-ago.clamp(min=0) / remembered).tril()
    return kept.float().to(device), torch.exp(-(time + 1) / remembered).float().to(device)

"""What a frame of CAM++ knows beside itself: rows and frames around it, and the running picture of the whole.

The layers are the same for both networks; what they see around a frame is here. `WholeWindow` looks at a whole window,
as published: zeros beyond its ends, means of all of it. `Past` goes on where a stream stands: convolutions look ahead
as far as the network waits anyway, taps and means look back, and all of it is taken from and left in a `Carry`.
"""

from __future__ import annotations

import functools
import math
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from streamer.models.carry import Carry

#: Rows of the filter bank, and frames, in which a running mean forgets to 1/e: 2 s and 1.5 s.
ROWS_REMEMBERED = 200.0
FRAMES_REMEMBERED = 75.0
#: As how many rows, and frames, what is known beforehand counts, until it is forgotten as they are: 1 s.
ROWS_EXPECTED = 100.0
FRAMES_EXPECTED = 50.0
#: Frames of a segment whose mean a gate sees beside the window's.
SEGMENT = 100
#: Positions whose running sums are one matrix product.
BLOCK = 50


class Surroundings(Protocol):
    """What is around each position of one batch; its methods are called in the order of the layers."""

    def normalised(self, rows: Tensor, shape: Tensor, heard: Tensor) -> Tensor:
        """Rows of the filter bank (rows, streams, bands) less their mean.

        shape (bands,): how an average voice's spectrum lies about its level. heard (bands,): 1 for bands that count.
        """
        ...

    def around_map(self, maps: Tensor) -> Tensor:
        """A map with the rows before and behind that a convolution of three taps needs to give as many."""
        ...

    def past_two(self, around: Tensor) -> Tensor:
        """Of what `around_map` gave, the part that lies where two convolutions' output does."""
        ...

    def halved(self, block: Tensor, taps: int) -> Tensor:
        """What the taps of a convolution that takes every other row see: (frames, streams, taps * channels)."""
        ...

    def around(self, block: Tensor, taps: int, dilation: int) -> Tensor:
        """A block with the frames before, and behind where there are any, that a convolution of `taps` taps needs."""
        ...

    def mean(self, block: Tensor, expected: Tensor) -> tuple[Tensor, Tensor | None]:
        """What a gate sees: twice the mean of the block, (positions, streams, channels), and which of the positions is
        each frame's, (frames,); None where that is its own.

        expected (channels,): the mean of speech in general.
        """
        ...


class WholeWindow:
    """Whole windows: nothing is before and nothing behind, and means are of all there is."""

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
    """Streams, each from where it stands: what came before is in `carry`, in the order of the layers."""

    def __init__(self, carry: Carry) -> None:
        self.carry = carry
        self._counted: tuple[Tensor, Tensor] | None = None

    def normalised(self, rows: Tensor, shape: Tensor, heard: Tensor) -> Tensor:
        """The expected mean is that of an average voice at the level that was heard so far, so that a gain cancels."""
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
        # Flattened as it lies in memory, channels last.
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
        """What makes twice a mean of a running sum over frames, and how much of what is expected is to be added to the
        sum before, (length, streams, 1) each: the same for all layers."""
        if self._counted is None:
            fading = self._fading(length, 1, FRAMES_REMEMBERED)
            count = (1 - fading) / (1 - math.exp(-1 / FRAMES_REMEMBERED))
            self._counted = 2 / (count + FRAMES_EXPECTED * fading), FRAMES_EXPECTED * fading
        return self._counted

    def _fading(self, length: int, rate: int, remembered: float) -> Tensor:
        """What is left at each position of a stream's beginning, (length, streams, 1).

        Kept is what is gone of it, so that a new carry is all zeros.
        """
        gone = self.carry.take(1, 1)
        _, fading = decay(length, remembered, gone.device)
        left = (1 - gone) * fading[:, None, None]
        self.carry.keep_last(1 - left, rate)
        return left

    def _sum(self, block: Tensor, rate: int, remembered: float) -> Tensor:
        """The sum of all so far, in which each counts less the longer it is past: (length, streams, channels)."""
        sums = running_sum(block, self.carry.take(1, block.shape[2])[0], remembered)
        self.carry.keep_last(sums, rate)
        return sums


def running_sum(block: Tensor, before: Tensor, remembered: float) -> Tensor:
    """s_t = exp(-1 / remembered) * s_(t-1) + x_t of a block (time, streams, channels).

    before (streams, channels): s before the first. One matrix product for each 50 positions, whose row t has what
    position t keeps of each before it.
    """
    last, sums = before.reshape(1, -1), []
    for rows in torch.split(block.flatten(1), BLOCK):
        kept, fading = decay(len(rows), remembered, block.device)
        sums.append(torch.addmm(fading[:, None] * last, kept, rows))
        last = sums[-1][-1:]
    return (torch.cat(sums) if len(sums) > 1 else sums[0]).view(block.shape)


@functools.lru_cache(maxsize=256)
def decay(length: int, remembered: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """What position t keeps of position s, (length, length), and of what was before the first, (length,)."""
    time = torch.arange(length, dtype=torch.float64)
    ago = time[:, None] - time
    kept = torch.exp(-ago.clamp(min=0) / remembered).tril()
    return kept.float().to(device), torch.exp(-(time + 1) / remembered).float().to(device)

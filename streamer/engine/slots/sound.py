"""The new samples of a batch of streams, and the samples that wait for the next hop.

A stream's tail is the last `size` samples before its position, with zeros for the time before it began. Hops read only
the tail and the new samples after it. Tails are rows of one array, (slots, size). The new samples of all streams are
concatenated in `flat`, which is sent to the device in one copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamer.compiled import compiled, summing
from streamer.engine.backbone import Hops

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]


def tail_samples(hops: Hops) -> int:
    """The number of samples before its position that a stream can need: those of an incomplete hop, or the silence
    before its start that fills the carry of its layers."""
    return max(hops.reads - 1, hops.warm_up * hops.stride - hops.start)


@dataclass(frozen=True, slots=True)
class BatchSamples:
    """The new samples of a batch of streams.

    flat (samples,): the samples of all streams, concatenated. rows: see `Work.rows`. Both are on the device.
    """

    flat: Tensor
    rows: Mapping[str, Tensor]

    def waves(self, tails: Tensor, rows: Mapping[str, Tensor], length: int, compiled: bool) -> Tensor:
        """The samples that hops read, (streams, length), followed by zeros; for the streams of these rows."""
        slots, offsets, starts, used = (rows[name] for name in ("slots", "offsets", "starts", "used"))
        if compiled:
            waves = torch.empty(len(slots), length)
            of_streams = (slots.numpy(), offsets.numpy(), starts.numpy(), used.numpy())
            take_waves(self.flat.numpy(), tails.numpy(), *of_streams, waves.numpy())
            return waves
        places = starts[:, None] + torch.arange(length, device=tails.device)
        waves = self._at(tails, places, slots, offsets)
        return waves.masked_fill_(places >= (starts + used)[:, None], 0)

    def keep(self, tails: Tensor, compiled: bool) -> None:
        """Move the tails forward, to the end of the new samples."""
        slots, offsets, lengths = (self.rows[name] for name in ("slots", "offsets", "lengths"))
        if compiled:
            keep_tails(self.flat.numpy(), tails.numpy(), slots.numpy(), offsets.numpy(), lengths.numpy())
            return
        places = lengths[:, None] + torch.arange(tails.shape[1], device=tails.device)
        tails.index_copy_(0, slots, self._at(tails, places, slots, offsets))

    def _at(self, tails: Tensor, places: Tensor, slots: Tensor, offsets: Tensor) -> Tensor:
        """The samples (streams, n) at these places, counted from the start of each stream's tail."""
        size = tails.shape[1]
        old = tails.index_select(0, slots).gather(1, places.clamp(max=size - 1))
        if not len(self.flat):
            return old
        # Places after a stream's own samples hold those of other streams; they are never used.
        new = self.flat[(places + (offsets - size)[:, None]).clamp_(0, len(self.flat) - 1)]
        return torch.where(places < size, old, new)


@compiled
def take_waves(
    flat: Floats, tails: Floats, slots: Integers, offsets: Integers, starts: Integers, used: Integers, waves: Floats
) -> None:
    size = tails.shape[1]
    for stream in range(len(slots)):
        start, count = starts[stream], used[stream]
        old = max(0, min(size - start, count))
        tail, wave = tails[slots[stream]], waves[stream]
        for place in range(old):
            wave[place] = tail[start + place]
        # In `flat`, the stream's new samples begin at its offset, which corresponds to the end of its tail.
        begin = offsets[stream] + start - size
        for place in range(old, count):
            wave[place] = flat[begin + place]
        wave[count:] = 0


@compiled
def keep_tails(flat: Floats, tails: Floats, slots: Integers, offsets: Integers, lengths: Integers) -> None:
    size = tails.shape[1]
    for stream in range(len(slots)):
        tail, count = tails[slots[stream]], lengths[stream]
        kept = max(0, size - count)
        for place in range(kept):
            tail[place] = tail[place + size - kept]
        begin = offsets[stream] + count - size
        for place in range(kept, size):
            tail[place] = flat[begin + place]


#: The number of samples to measure at once, so that they are still in the cache.
MEASURED_AT_ONCE = 1 << 18


def gathered(samples: list[Floats], lengths: Integers, host: Floats) -> NDArray[np.float64]:
    """Concatenate the streams' samples into `host`. Returns the energy of each stream, (streams,)."""
    ends = np.cumsum(lengths)
    energy = np.zeros(len(samples))
    first = done = 0
    while first < len(samples):
        last = max(first + 1, int(np.searchsorted(ends, done + MEASURED_AT_ONCE, "right")))
        end = int(ends[last - 1])
        if end > done:
            np.concatenate(samples[first:last], out=host[done:end])
            measure(host[done:end], lengths[first:last], energy[first:last])
        first, done = last, end
    return energy


@summing
def measure(flat: Floats, lengths: Integers, energy: NDArray[np.float64]) -> None:
    """Write the energy of each stream's samples, the sum of squares; it is not finite if a sample is not."""
    start = 0
    for stream in range(len(lengths)):
        end, total = start + lengths[stream], np.float64(0)
        while start < end:
            # Sums of up to 2048 squares are exact enough in float32, and fast.
            some = flat[start : min(end, start + 2048)]
            part = np.float32(0)
            for place in range(len(some)):
                part += some[place] * some[place]
            total += part
            start += len(some)
        energy[stream] = total

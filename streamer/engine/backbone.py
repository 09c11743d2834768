"""What a network must provide for `cached` mode: its layers up to the pooling, which continue where a stream stopped.

`streamer.engine.cached` does everything else: samples, clocks, speech, pooling, windows, snapshots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from streamer.engine.batching import CPU_HOPS
from streamer.engine.layers import Affine
from streamer.engine.settings import WindowSettings
from streamer.models.carry import Carry
from streamer.models.grid import FrameGrid


@dataclass(frozen=True, slots=True)
class Hops:
    """How a backbone advances: one hop for each frame, a stride of samples on.

    grid: of its frames. reads: how many samples one hop reads; what it needs of earlier samples is carried over.
    lag: hop h completes frame h - lag. warm_up: hops of silence before a stream's first sample, which give the layers
    something to carry; their frames do not count. at_once: how many hops are computed at once on a CPU.

    Derived: hop h reads the samples [h * stride + start, h * stride + start + reads), and with h hops done, those up
    to h * stride + end have been used.
    """

    grid: FrameGrid
    reads: int
    lag: int = 0
    warm_up: int = 0
    at_once: int = CPU_HOPS
    stride: int = field(init=False)
    start: int = field(init=False)
    end: int = field(init=False)

    def __post_init__(self) -> None:
        # A hop reads up to the end of the frame that it completes.
        start = self.grid.receptive_field - self.lag * self.grid.stride - self.reads
        object.__setattr__(self, "stride", self.grid.stride)
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "end", start + self.reads - self.grid.stride)


@dataclass(frozen=True, slots=True)
class FrameBlock:
    """New frames of a batch: features (frames, streams, channels) float32, before the backbone's `norm`.

    attention (frames, streams) in (0, 1), or None if the network has none. heads (frames, streams, K) in (0, 1):
    the outputs of the heads for each frame, a column for each of the backbone's `heads`; None without heads.
    """

    features: Tensor
    attention: Tensor | None = None
    heads: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """What the streams of a batch with the same windows keep beside their carry.

    places (streams,) int64, on the device: which of the batch they are. kept: by name (streams, ...), one row a stream;
    to be changed in place.
    """

    places: Tensor
    kept: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Batch:
    """The streams of a batch, without their samples.

    carry: their past, with `carry.hops`, how many hops of the block are each stream's own.
    first (streams,) int64, on the device: hops before this one see silence from before the stream began, and are not of
    its sound. memories: what `Backbone.new_memory` made for each, by their windows; empty where it makes nothing.
    """

    carry: Carry
    first: Tensor
    memories: Sequence[Memory]


class Backbone(Protocol):
    """The layers of a network up to its pooling, prepared for one device and precision; no state of any stream.

    channels: of a frame. heads: names of what the network says of a frame, in this order: "speech", and "overlap", that
    more than one speaks. norm: a norm with fixed statistics that frames have yet to pass: it is applied to the moments
    of many instead (`Affine.identity` where there is none).
    """

    hops: Hops
    channels: int
    heads: tuple[str, ...]
    norm: Affine

    @property
    def device(self) -> torch.device: ...

    def new_carry(self) -> Tensor:
        """One stream's row (size,) float32 of a `Carry`, as a stream begins, and again after a gap."""
        ...

    def new_memory(self, settings: WindowSettings) -> Mapping[str, Tensor]:
        """What a stream keeps beside its carry, by name, if that depends on its windows: zeros, and again after a gap.
        Empty for most networks."""
        ...

    def advance(self, waves: Tensor, batch: Batch) -> FrameBlock:
        """Compute one frame for each hop, the first hop's first.

        waves (streams, (hops - 1) * stride + reads) float32, on the device; streams with fewer hops are padded
        with zeros. The frames of a stream must not depend on the other streams in the batch, nor on the padding.
        """
        ...

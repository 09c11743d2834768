"""The interface of a network in `cached` mode: its layers up to the pooling, which resume where a stream stopped.

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
    """How a backbone advances: one hop for each frame, each one stride of samples further.

    grid: the frame grid. reads: the number of samples that one hop reads; context from earlier samples is carried over.
    lag: hop h completes frame h - lag. warm_up: hops of silence before a stream's first sample, which fill the carry of
    the layers; their frames are discarded. at_once: the number of hops to compute at once on a CPU.

    Derived: hop h reads the samples [h * stride + start, h * stride + start + reads). After h hops, the samples up to
    h * stride + end have been used.
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
    """State that streams with the same windows keep besides their carry.

    places (streams,) int64, on the device: their indices in the batch. kept: by name (streams, ...), one row per
    stream; modified in place.
    """

    places: Tensor
    kept: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Batch:
    """The streams of a batch, without their samples.

    carry: their past, with `carry.hops`, the number of hops in the block that belong to each stream.
    first (streams,) int64, on the device: hops before this one see silence from before the stream began, and are not
    part of its sound. memories: the state from `Backbone.new_memory`, grouped by windows; empty if it creates none.
    """

    carry: Carry
    first: Tensor
    memories: Sequence[Memory]


class Backbone(Protocol):
    """The layers of a network up to its pooling, prepared for one device and precision. Holds no state of any stream.

    channels: of a frame. heads: the names of the outputs for each frame, in this order: "speech", and "overlap",
    meaning that more than one person speaks. norm: a norm with fixed statistics that has not been applied to the frames
    yet; it is applied to pooled moments instead (`Affine.identity` if there is none).
    """

    hops: Hops
    channels: int
    heads: tuple[str, ...]
    norm: Affine

    @property
    def device(self) -> torch.device: ...

    def new_carry(self) -> Tensor:
        """One stream's row (size,) float32 of a `Carry`, for the start of a stream and after a gap."""
        ...

    def new_memory(self, settings: WindowSettings) -> Mapping[str, Tensor]:
        """The state that a stream keeps besides its carry, by name, if it depends on the windows. It starts as zeros,
        and again after a gap. Empty for most networks.
        """
        ...

    def advance(self, waves: Tensor, batch: Batch) -> FrameBlock:
        """Compute one frame for each hop, in order.

        waves (streams, (hops - 1) * stride + reads) float32, on the device; streams with fewer hops are padded
        with zeros. The frames of a stream must depend neither on the other streams in the batch nor on the padding.
        """
        ...

"""CAM++ with past context as a backbone of `cached` mode: each frame is computed once."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from streamer.engine.backbone import Backbone, Batch, FrameBlock, Hops
from streamer.engine.campplus.layers import PreparedLayers
from streamer.engine.layers import Affine
from streamer.engine.settings import WindowSettings
from streamer.models.campplus.network import CamPlusPlus
from streamer.models.campplus.overlap import INNER
from streamer.models.fbank import GRID as BAND_GRID

#: Frames of all streams to compute at once. With fewer, the weights (25 MB) are fetched too often; with more, the
#: activations do not fit in a core's cache.
AT_ONCE = 800
#: The number of streams whose filter bank is computed at once on a CPU, for the same reason.
BANK_AT_ONCE = 4


class CamPlusPlusBackbone(Backbone):
    """The prepared layers of the network, which start from each stream's carry. compiled: see `CachedStepper`."""

    def __init__(self, network: CamPlusPlus, compiled: bool | None = None) -> None:
        self.network = network
        self.layers = PreparedLayers(network.layers, compiled)
        self.hops = Hops(network.architecture.grid, BAND_GRID.num_samples(2), network.lag, at_once=AT_ONCE)
        self.channels = network.layers.channels
        self.heads: tuple[str, ...] = ("overlap",) if network.architecture.overlap else ()
        self.norm = Affine.identity(self.channels, network.device)

    @property
    def device(self) -> torch.device:
        return self.network.device

    def new_carry(self) -> Tensor:
        head = INNER if self.network.architecture.overlap else 0
        return torch.zeros(self.layers.carry_size + head, device=self.device)

    def new_memory(self, settings: WindowSettings) -> Mapping[str, Tensor]:
        return {}

    def advance(self, waves: Tensor, batch: Batch) -> FrameBlock:
        hops = (waves.shape[1] - self.hops.reads) // self.hops.stride + 1
        heard = waves[:, : BAND_GRID.num_samples(2 * hops)]
        at_once = BANK_AT_ONCE if waves.device.type == "cpu" else len(waves)
        rows = torch.cat([self.network.bank(some) for some in torch.split(heard, at_once)])
        block, early = self.layers(rows.transpose(0, 1), batch.carry)
        overlap = self.network.overlap_of(early, batch.carry)
        attention = self.network.attention_of(block, overlap)
        heads = None if overlap is None else overlap[..., None]
        return FrameBlock(block, None if attention is None else attention.t(), heads)

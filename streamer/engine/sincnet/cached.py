"""The SincNet x-vector as a backbone of `cached` mode, for models whose norms have fixed statistics."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from streamer.engine.backbone import Backbone, Batch, FrameBlock
from streamer.engine.settings import WindowSettings
from streamer.engine.sincnet.layers import SincNetFrameLayers


class SincNetBackbone(Backbone):
    """The prepared layers, starting from each stream's carry. Exact for networks without window norms."""

    def __init__(self, layers: SincNetFrameLayers) -> None:
        self.layers = layers
        self.hops = layers.hops
        self.channels = layers.channels
        self.heads = ("speech",) if layers.speech is not None else ()
        self.norm = layers.last_norm

    @property
    def device(self) -> torch.device:
        return self.layers.device

    def new_carry(self) -> Tensor:
        return torch.zeros(self.layers.carry_size, device=self.device)

    def new_memory(self, settings: WindowSettings) -> Mapping[str, Tensor]:
        return {}

    def advance(self, waves: Tensor, batch: Batch) -> FrameBlock:
        layers, carry = self.layers, batch.carry
        return layers.tdnn(layers.front(layers.first(waves, carry), carry, layers.norms), carry)

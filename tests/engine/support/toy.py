"""A network of another kind, with another clock: frames of 25 ms, one each 10 ms, of one convolution.

It comes in three ways: its frames computed once each ("toy"), the same with a memory (a forgetting mean is taken off,
as in networks whose frames have no receptive field), and without anybody knowing how to cache it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from streamer.engine import families as engine_families
from streamer.engine.backbone import Batch, FrameBlock, Hops
from streamer.engine.layers import Affine, Precision
from streamer.engine.settings import WindowSettings
from streamer.models import families
from streamer.models.grid import FrameGrid
from streamer.models.head import LinearHead
from streamer.models.model import Model, ModelCard
from streamer.models.network import Frames
from streamer.models.pooling import statistics_pool

GRID = FrameGrid(160, 400)
CHANNELS, KEPT = 6, 0.98


@dataclass(frozen=True)
class ToyDescription:
    remembers: bool = False
    dimension: int = 8
    family: str = "toy"
    minimum_frames: int = 2
    speech_head: bool = False

    @property
    def grid(self) -> FrameGrid:
        return GRID

    @property
    def frame_local(self) -> bool:
        return self.family == "toy"

    def to_dict(self) -> Mapping[str, Any]:
        return asdict(self)


class Toy(nn.Module):
    def __init__(self, architecture: ToyDescription) -> None:
        super().__init__()
        self.architecture = architecture
        self.convolution = nn.Conv1d(1, CHANNELS, GRID.receptive_field, GRID.stride)
        self.last = nn.Linear(2 * CHANNELS, architecture.dimension)

    @property
    def device(self) -> torch.device:
        return self.last.weight.device

    @property
    def head(self) -> LinearHead:
        return LinearHead.of(self.last)

    def frames(self, waveforms: Tensor) -> Frames:
        features = self.convolution(waveforms).relu()
        if self.architecture.remembers:
            mean, means = torch.zeros_like(features[..., 0]), []
            for frame in features.unbind(2):
                mean = KEPT * mean + (1 - KEPT) * frame
                means.append(mean)
            features = features - torch.stack(means, 2)
        return Frames(features)

    def pool(self, frames: Frames, weights: Tensor | None = None) -> Tensor:
        return self.last(statistics_pool(frames.features, weights))

    def forward(self, waveforms: Tensor, weights: Tensor | None = None) -> Tensor:
        return self.pool(self.frames(waveforms), weights)


class ToyBackbone:
    def __init__(self, network: Toy) -> None:
        self.remembers = network.architecture.remembers
        self.kernel, self.bias = network.convolution.weight.flatten(1).t(), network.convolution.bias
        # A hop reads its own stride of samples alone, and carries over the 15 ms before them.
        self.context = GRID.receptive_field - GRID.stride
        self.hops = Hops(GRID, reads=GRID.stride, warm_up=2)
        self.channels, self.device = CHANNELS, network.device
        self.heads: tuple[str, ...] = ()
        self.norm = Affine.identity(CHANNELS, self.device)

    def new_carry(self) -> Tensor:
        return torch.zeros(self.context + self.remembers * CHANNELS, device=self.device)

    def new_memory(self, settings: WindowSettings) -> Mapping[str, Tensor]:
        return {}

    def advance(self, waves: Tensor, batch: Batch) -> FrameBlock:
        samples = batch.carry.extend(waves.t().unsqueeze(2), self.context, GRID.stride)
        seen = samples.squeeze(2).unfold(0, GRID.receptive_field, GRID.stride)
        features = (seen @ self.kernel + self.bias).relu()
        return FrameBlock(features - self._means(features, batch) if self.remembers else features)

    def _means(self, features: Tensor, batch: Batch) -> Tensor:
        first = batch.first[:, None]
        means = [batch.carry.take(1, CHANNELS)[0]]
        for hop, frame in enumerate(features):
            means.append(torch.where(hop < first, means[-1], KEPT * means[-1] + (1 - KEPT) * frame))
        batch.carry.keep(torch.stack(means), 1, 1)
        return torch.stack(means[1:])


def backbone(model: Model, precision: Precision) -> ToyBackbone:
    assert isinstance(model.network, Toy)
    return ToyBackbone(model.network)


families.register(families.Family("toy", lambda values: ToyDescription(**values), Toy))
engine_families.register("toy", engine_families.Cached(backbone))


def toy_model(architecture: ToyDescription) -> Model:
    torch.manual_seed(5)
    return Model(Toy(architecture), ModelCard("toy"))


TOYS = {
    "toy": ToyDescription(),
    "toy that remembers": ToyDescription(remembers=True),
    "toy by windows": ToyDescription(family="another toy"),
}

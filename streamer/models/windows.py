"""A network from any module that embeds whole waveforms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from streamer.audio.chunks import SAMPLE_RATE
from streamer.errors import ConfigurationError
from streamer.models.fbank import GRID
from streamer.models.grid import FrameGrid


@dataclass(frozen=True, slots=True)
class WindowDescription:
    """The description of a network that embeds whole windows. Its frames are those of the speech detector, 25 ms each
    10 ms."""

    dimension: int
    minimum_frames: int
    family: str = "windows"

    @property
    def grid(self) -> FrameGrid:
        return GRID

    @property
    def frame_local(self) -> bool:
        return False

    @property
    def speech_head(self) -> bool:
        return False

    def to_dict(self) -> Mapping[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "family"}


class WindowNetwork(nn.Module):
    """A module as a network: waveforms (batch, 1, samples) float32 at 16 kHz -> (batch, dimension).

    It takes whole windows and cannot weigh their frames: each window is computed anew, including its silence.

    module: takes such waveforms; one that takes Kaldi's filter banks stands behind a `KaldiFilterBank` in a
        `torch.nn.Sequential`. dimension: length of its embeddings.
    minimum_s: the shortest audio that it can embed, in seconds.
    family: its own name, if a checkpoint of it is to be read again; see `streamer.models.families`.

    Raises ConfigurationError if the module gives another shape for a second of audio.
    """

    def __init__(self, module: nn.Module, dimension: int, minimum_s: float = 0.5, family: str = "windows") -> None:
        super().__init__()
        frames = GRID.num_frames(round(minimum_s * SAMPLE_RATE))
        if frames < 1:
            raise ConfigurationError(f"minimum_s={minimum_s} s is too short; it must be 0.025 s at least.")
        self.architecture = WindowDescription(dimension, frames, family)
        self.module = module
        self._check(max(minimum_s, 1.0))

    def _check(self, seconds: float) -> None:
        training = self.module.training
        with torch.inference_mode():
            found = self.module.eval()(torch.zeros(2, 1, round(seconds * SAMPLE_RATE), device=self.device))
        self.module.train(training)
        wanted = (2, self.architecture.dimension)
        if not isinstance(found, Tensor) or tuple(found.shape) != wanted:
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ConfigurationError(
                f"the module makes {shape} of two waveforms (2, 1, samples); embeddings of shape {wanted} are needed."
            )

    @property
    def device(self) -> torch.device:
        tensors = (*self.module.parameters(), *self.module.buffers())
        return tensors[0].device if tensors else torch.device("cpu")

    @property
    def head(self) -> None:
        return None

    def forward(self, waveforms: Tensor, weights: Tensor | None = None) -> Tensor:
        return cast(Tensor, self.module(waveforms))

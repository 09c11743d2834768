"""One embedding of a whole recording, with constant memory for any length.

If each frame of a stream can be computed once, a recording is processed as a stream: the moments of its blocks are
merged, as in the engine's windows. A model with window norms normalises by the whole window, layer by layer, so it
needs all of it at once: see `Inference`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import Samples
from streamer.engine.incremental import IncrementalModel
from streamer.engine.window import Step
from streamer.models.model import Model
from streamer.models.pooling import Moments

#: Seconds that are computed at once: some 40 MB of activations.
BLOCK_S = 30.0


class WholePool:
    """Takes samples in chunks of any size, and returns the embedding of all of them at the end.

    model: its frames can be computed once each (`model.architecture.frame_local`).
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.num_samples = 0
        self._stream = IncrementalModel(model, speech="off").open((BLOCK_S,), BLOCK_S)
        self._moments: Moments[NDArray[np.float32]] | None = None

    def push(self, samples: Samples) -> None:
        """Take the next samples (n,), float32 mono at 16 kHz."""
        self.num_samples += len(samples)
        self._pool(self._stream.push(samples))

    def finish(self) -> NDArray[np.float32]:
        """(1, dimension) float32. Needs `model.minimum_samples` or more."""
        self._pool(self._stream.finish())
        assert self._moments is not None
        return self.model.embed(self._moments)[None]

    def _pool(self, steps: Iterable[Step]) -> None:
        for step in steps:
            if step.block is not None:
                self._moments = step.block if self._moments is None else self._moments.joined(step.block)

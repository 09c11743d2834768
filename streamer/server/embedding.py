"""The network's last layer for one turn at a time, on the event loop's own thread.

`Model.embed` computes the same with torch, whose threads meet at a barrier: beside a busy engine a tenth of a
millisecond's work then waits for milliseconds, and with it every client. `einsum` has no threads.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamer.models.model import Model
from streamer.models.pooling import Moments
from streamer.speakers.turn import Embed


def embedder(model: Model) -> Embed:
    """What `model.embed` does for moments (1500,) of one turn: the embedding (dimension,), float32."""
    weight = np.ascontiguousarray(model.network.embedding.weight.cpu().numpy())
    bias = model.network.embedding.bias.cpu().numpy()

    def embed(moments: Moments[NDArray[np.float32]]) -> NDArray[np.float32]:
        pooled = np.concatenate(moments.statistics(), axis=-1, dtype=np.float32)
        embedding: NDArray[np.float32] = np.einsum("ij,j->i", weight, pooled) + bias
        return embedding

    return embed

"""From the pooled windows of a batch to embeddings, on the device where the network's head can be had there."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from streamer.engine.sliding import HEADER, WEIGHT, WEIGHT2, moments_of, to_statistics
from streamer.models.head import LinearHead
from streamer.models.model import Model
from streamer.models.pooling import Moments


class Embedding:
    """On a CPU, and for heads that are not linear, windows are embedded in the host's memory, once it is known which
    are reported. On another device all are, and which are reported is known when they are back."""

    def __init__(self, model: Model, device: torch.device, on_host: bool) -> None:
        self.model = model
        self.minimum_frames = model.architecture.minimum_frames
        head = model.network.head
        self.head = head if isinstance(head, LinearHead) else None
        self.weight: Tensor | None = None
        if self.head is not None:
            weight, bias = torch.from_numpy(self.head.weight), torch.from_numpy(self.head.bias)
            if on_host:
                # By inputs: of few windows, that makes up to twice as fast a product.
                self._own = (bias, weight.t().contiguous())
            else:
                self.weight, self.bias, self.epsilon = weight.to(device), bias.to(device), self.head.epsilon

    def of(self, records: list[Tensor]) -> list[Tensor]:
        """What is to be brought back of windows' records (streams, windows, record) each: the records, or their headers
        (streams, windows, 4) with the embeddings (streams, windows, dimension) behind."""
        if self.weight is None:
            return records
        return [torch.cat([some[..., :HEADER], self._embedded(some)], -1) for some in records]

    def _embedded(self, records: Tensor) -> Tensor:
        assert self.weight is not None
        middle = (HEADER + records.shape[-1]) // 2
        weight, weight2 = records[..., WEIGHT : WEIGHT + 1], records[..., WEIGHT2 : WEIGHT2 + 1]
        moments = Moments(weight, weight2, records[..., HEADER:middle], records[..., middle:])
        return F.linear(torch.cat(moments.statistics(self.epsilon), -1), self.weight, self.bias)

    def embedded(self, back: NDArray[np.float32], reported: NDArray[np.bool_]) -> NDArray[np.float32]:
        """The embeddings (n, dimension) of the windows that are reported, of what `of` had brought back."""
        if self.weight is not None:
            return back[reported][:, HEADER:]
        if self.head is None:
            return self.model.embed_batch(moments_of(back[reported]))
        records = back.reshape(-1, back.shape[2])
        chosen = np.flatnonzero(reported)
        statistics = torch.empty(len(chosen), back.shape[2] - HEADER)
        to_statistics(records, chosen, np.float32(self.head.epsilon), statistics.numpy())
        bias, weight = self._own
        embeddings: NDArray[np.float32] = torch.addmm(bias, statistics, weight).numpy()
        return embeddings

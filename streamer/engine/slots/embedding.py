"""Turns the pooled windows of a batch into embeddings, on the device if the network's head is linear."""

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
    """The head of a network, prepared for one device.

    On a CPU, and with a head that is not linear, only reported windows are embedded, in host memory. On another device
    all windows are embedded there, because the host knows which to report only after the copy back.
    """

    def __init__(self, model: Model, device: torch.device, on_host: bool) -> None:
        self.model = model
        self.minimum_frames = model.architecture.minimum_frames
        head = model.network.head
        self.head = head if isinstance(head, LinearHead) else None
        self.weight: Tensor | None = None
        if self.head is not None:
            weight, bias = torch.from_numpy(self.head.weight), torch.from_numpy(self.head.bias)
            if on_host:
                # Stored by inputs: for few windows, the product is up to twice as fast.
                self._own = (bias, weight.t().contiguous())
            else:
                self.weight, self.bias, self.epsilon = weight.to(device), bias.to(device), self.head.epsilon

    def of(self, records: list[Tensor]) -> list[Tensor]:
        """The tensors to copy back, from records (streams, windows, record) each: the records themselves, or their
        headers (streams, windows, 4) followed by the embeddings (streams, windows, dimension)."""
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
        """The embeddings (n, dimension) of the reported windows.

        back: what `of` returned, on the host. reported (streams, windows): which windows to report.
        """
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

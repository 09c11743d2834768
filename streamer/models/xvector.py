"""The x-vector: SincNet frames, five TDNN layers, statistics pooling, one linear layer.

Snyder et al. (2018), "X-Vectors: Robust DNN Embeddings for Speaker Recognition", over SincNet features as in
pyannote/embedding. Names of modules and parameters are those of pyannote.audio's XVectorSincNet.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamer.errors import ConfigurationError
from streamer.models.architecture import SINCNET_CHANNELS, TDNN_LAYERS, Architecture
from streamer.models.head import LinearHead
from streamer.models.network import Frames, Network
from streamer.models.pooling import at_frame_rate, statistics_pool
from streamer.models.sincnet import SincNet

#: The speech head reads the output of this TDNN layer, with the geometry of the next layer, as an additional row of it.
SPEECH_LAYER = 1
#: The attention reads the output of this TDNN layer.
ATTENTION_LAYER = 3


class XVectorSincNet(nn.Module):
    """Speaker embeddings of raw waveforms: (batch, 1, samples) float32 at 16 kHz -> (batch, dimension)."""

    def __init__(self, architecture: Architecture | None = None) -> None:
        super().__init__()
        self.architecture = architecture or Architecture()
        self.sincnet = SincNet(self.architecture)
        self.tdnns = nn.ModuleList()
        channels = SINCNET_CHANNELS
        for out_channels, kernel, dilation in TDNN_LAYERS:
            convolution = nn.Conv1d(channels, out_channels, kernel, dilation=dilation)
            self.tdnns.extend([convolution, nn.LeakyReLU(), nn.BatchNorm1d(out_channels)])
            channels = out_channels
        self.embedding = nn.Linear(2 * channels, self.architecture.dimension)
        if self.architecture.speech_head:
            _, kernel, dilation = TDNN_LAYERS[SPEECH_LAYER + 1]
            self.speech = nn.Conv1d(TDNN_LAYERS[SPEECH_LAYER][0], 1, kernel, dilation=dilation)
        if self.architecture.attention:
            self.attention = nn.Conv1d(TDNN_LAYERS[ATTENTION_LAYER][0], 1, 1)

    @property
    def device(self) -> torch.device:
        return self.embedding.weight.device

    @property
    def head(self) -> LinearHead:
        return LinearHead.of(self.embedding)

    def frames(self, waveforms: Tensor) -> Frames:
        """Everything that is computed for each frame before pooling."""
        return self.frames_of(self.sincnet(waveforms))

    def frames_of(self, outputs: Tensor) -> Frames:
        """The TDNN layers and the heads, on SincNet's output (batch, 60, n) -> n - 14 frames."""
        speech = attention = None
        block = outputs.transpose(1, 2)
        for layer, (convolution, activation, norm) in enumerate(zip(*[iter(self.tdnns)] * 3, strict=True)):
            block = activation(convolve(convolution, block))
            block = norm(block.flatten(0, 1)).view_as(block)
            if layer == SPEECH_LAYER and self.architecture.speech_head:
                speech = convolve(self.speech, block).squeeze(2)
            if layer == ATTENTION_LAYER and self.architecture.attention:
                attention = convolve(self.attention, block).squeeze(2).sigmoid()
        return Frames(block.transpose(1, 2), attention, speech)

    def pool(self, frames: Frames, weights: Tensor | None = None) -> Tensor:
        """Embed frames (batch, dimension), or (batch, speakers, dimension) for weights by speaker."""
        if frames.attention is not None:
            count = frames.features.shape[-1]
            if weights is None:
                weights = frames.attention
            elif weights.dim() == 2:
                weights = at_frame_rate(weights.unsqueeze(1), count).squeeze(1) * frames.attention
            else:
                weights = at_frame_rate(weights, count) * frames.attention.unsqueeze(1)
        return cast(Tensor, self.embedding(statistics_pool(frames.features, weights)))

    def forward(self, waveforms: Tensor, weights: Tensor | None = None) -> Tensor:
        """Embed waveforms, with an optional weight for each frame: (batch, n) or (batch, speakers, n).

        Weights at another rate are resampled to the frame rate by nearest interpolation.
        """
        return self.pool(self.frames(waveforms), weights)


def sincnet_of(network: Network) -> XVectorSincNet:
    """A network that must be a SincNet x-vector. Raises ConfigurationError for any other."""
    if not isinstance(network, XVectorSincNet):
        raise ConfigurationError(
            f"this is for SincNet x-vectors, and the model's family is {network.architecture.family!r}."
        )
    return network


def convolve(convolution: nn.Conv1d, block: Tensor) -> Tensor:
    """An unpadded Conv1d on (batch, time, channels), as one matrix product.

    On a CPU it is twice as fast as torch's one-dimensional convolution, and more in the backward pass.
    """
    (taps,), (dilation,) = convolution.kernel_size, convolution.dilation
    time = block.shape[1] - dilation * (taps - 1)
    seen = torch.cat([block[:, tap * dilation : tap * dilation + time] for tap in range(taps)], dim=2)
    return F.linear(seen, convolution.weight.transpose(1, 2).flatten(1), convolution.bias)

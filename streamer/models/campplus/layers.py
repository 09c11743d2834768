"""The layers of CAM++ (Wang et al., 2023, https://arxiv.org/abs/2303.00332), with every norm folded into its neighbour.

Norms have fixed statistics, so a norm after a convolution becomes part of its weights, and one before an activation is
a scale and a shift. Blocks are (frames, streams, channels): a convolution's tap sees all streams as one matrix.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamer.models.campplus.architecture import (
    BLOCKS,
    FIRST,
    FIRST_TAPS,
    GROWTH,
    INNER,
    MAPS,
    PAST_TAPS,
    CamPlusPlusArchitecture,
)
from streamer.models.campplus.surroundings import Surroundings
from streamer.models.fbank import BANDS


def empty(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.zeros(*shape))


class MapConvolution(nn.Module):
    """A 3 x 3 convolution over rows and bands, then ReLU if requested; `stride` is that of the bands."""

    def __init__(self, inputs: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.weight = empty(MAPS, inputs, 3, 3)
        self.bias = empty(MAPS)

    def forward(self, around: Tensor) -> Tensor:
        """(streams, inputs, rows + 2, bands) -> (streams, 32, rows, bands / stride)."""
        return F.conv2d(around, self.weight, self.bias, stride=(1, self.stride), padding=(0, 1))


class MapResidual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.first = MapConvolution(MAPS, stride)
        self.second = MapConvolution(MAPS)
        self.stride = stride
        if stride > 1:
            self.weight = empty(MAPS, MAPS, 1, 1)
            self.bias = empty(MAPS)

    def forward(self, maps: Tensor, surroundings: Surroundings) -> Tensor:
        around = surroundings.around_map(maps)
        inner = self.first(around).relu_()
        output: Tensor = self.second(surroundings.around_map(inner))
        shortcut = surroundings.past_two(around)
        if self.stride > 1:
            shortcut = F.conv2d(shortcut, self.weight, self.bias, stride=(1, self.stride))
        return output.add_(shortcut).relu_()


class FrontEnd(nn.Module):
    """Normalised rows of the filter bank (rows, streams, 80) -> frames (rows / 2, streams, 128)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = MapConvolution(1)
        self.residuals = nn.ModuleList(MapResidual(stride) for stride in (2, 1, 2, 1))
        self.last = MapConvolution(MAPS, 2)
        self.weight = empty(FIRST, MAPS * BANDS // 8, FIRST_TAPS)
        self.bias = empty(FIRST)

    def forward(self, rows: Tensor, surroundings: Surroundings) -> Tensor:
        maps = rows.transpose(0, 1).unsqueeze(1).contiguous(memory_format=torch.channels_last)
        maps = self.first(surroundings.around_map(maps)).relu_()
        for residual in self.residuals:
            maps = residual(maps, surroundings)
        maps = self.last(surroundings.around_map(maps)).relu_()
        seen = surroundings.halved(maps.permute(2, 0, 1, 3).flatten(2), FIRST_TAPS)
        return F.linear(seen, self.weight.transpose(1, 2).flatten(1), self.bias).relu_()


class Activation(nn.Module):
    """A norm with fixed statistics, then ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = empty(channels)
        self.shift = empty(channels)

    def forward(self, block: Tensor) -> Tensor:
        return torch.addcmul(self.shift, block, self.scale).relu_()


class DenseLayer(nn.Module):
    """Adds 32 channels to those of all earlier layers; a gate scales them by the context."""

    expected: Tensor

    def __init__(self, inputs: int, taps: int, dilation: int) -> None:
        super().__init__()
        self.activation = Activation(inputs)
        self.inner = nn.Linear(inputs, INNER)
        self.dilation = dilation
        self.taps = empty(GROWTH, INNER, taps)
        self.squeeze = nn.Linear(INNER, INNER // 2)
        self.excite = nn.Linear(INNER // 2, GROWTH)
        self.register_buffer("expected", torch.zeros(INNER))

    def forward(self, block: Tensor, surroundings: Surroundings) -> Tensor:
        inner = self.inner(self.activation(block)).relu_()
        around = surroundings.around(inner, self.taps.shape[2], self.dilation)
        output = self._convolved(around, len(inner))
        seen, places = surroundings.mean(inner, self.expected)
        gate = self.excite(self.squeeze(seen).relu_()).sigmoid_()
        return output.mul_(gate if places is None else gate[places])

    def _convolved(self, around: Tensor, frames: int) -> Tensor:
        first, *others = self.taps.unbind(2)
        output = F.linear(around[:frames], first)
        for tap, weight in enumerate(others, 1):
            seen = around[tap * self.dilation : tap * self.dilation + frames]
            output.view(-1, GROWTH).addmm_(seen.reshape(-1, INNER), weight.t())
        return output


class Transition(nn.Module):
    """Halves the number of channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.activation = Activation(channels)
        self.weight = empty(channels // 2, channels)

    def forward(self, block: Tensor) -> Tensor:
        return F.linear(self.activation(block), self.weight)


class FrameLayers(nn.Module):
    """Rows of the filter bank (rows, streams, 80) -> frames (rows / 2, streams, 512), and the output of the first dense
    block, (rows / 2, streams, 256).

    shape (80,): the average spectrum of speech relative to its level. heard (80,): 1 for the bands that are used.
    """

    shape: Tensor
    heard: Tensor

    def __init__(self, architecture: CamPlusPlusArchitecture) -> None:
        super().__init__()
        past = architecture.context == "past"
        self.front = FrontEnd()
        self.blocks = nn.ModuleList()
        self.transitions = nn.ModuleList()
        channels = FIRST
        for (layers, dilation), past_taps in zip(BLOCKS, PAST_TAPS, strict=True):
            taps = past_taps if past else 3
            self.blocks.append(
                nn.ModuleList(DenseLayer(channels + GROWTH * layer, taps, dilation) for layer in range(layers))
            )
            channels += GROWTH * layers
            self.transitions.append(Transition(channels))
            channels //= 2
        self.last = Activation(channels)
        self.channels = channels
        self.register_buffer("shape", torch.zeros(BANDS))
        self.register_buffer("heard", torch.zeros(BANDS))

    def forward(self, rows: Tensor, surroundings: Surroundings) -> tuple[Tensor, Tensor]:
        block = self.front(surroundings.normalised(rows, self.shape, self.heard), surroundings)
        behind = []
        for layers, transition in zip(self.blocks, self.transitions, strict=True):
            block = transition(self._dense(block, layers, surroundings))
            behind.append(block)
        return self.last(block), behind[0]

    def _dense(self, block: Tensor, layers: nn.Module, surroundings: Surroundings) -> Tensor:
        """All layers of a dense block write into one array, so that no layer copies the outputs of earlier ones."""
        assert isinstance(layers, nn.ModuleList)
        channels = block.shape[2]
        grown = block.new_empty(*block.shape[:2], channels + GROWTH * len(layers))
        grown[..., :channels] = block
        for layer in layers:
            grown[..., channels : channels + GROWTH] = layer(grown[..., :channels], surroundings)
            channels += GROWTH
        return grown

"""Convolutions prepared for stepping: matrices instead of modules, time-major blocks instead of batches.

A block is (time, streams, channels). Time-major, each tap of a convolution sees all streams as one contiguous matrix,
so a convolution is one matrix product, however many streams there are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from streamer.compiled import compiled
from streamer.engine import onednn

Precision = Literal["float32", "bfloat16", "int8", "tf32"]

#: In int8, activations more than this many standard deviations from their mean saturate.
INT8_RANGE = 8.0


#: Normalises a block (time, streams, channels) inside the network.
Norm = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Affine:
    """A norm with fixed statistics: x * scale + shift, (channels,) each, or (streams, channels)."""

    scale: Tensor
    shift: Tensor

    @classmethod
    def identity(cls, channels: int, device: torch.device) -> Affine:
        return cls(torch.ones(channels, device=device), torch.zeros(channels, device=device))

    def __call__(self, block: Tensor) -> Tensor:
        return torch.addcmul(self.shift, block, self.scale)


class Convolution(Protocol):
    """(time + context, streams, in) -> (time, streams, out); the convolution consumes `context` frames of the input."""

    context: int

    def __call__(self, block: Tensor) -> Tensor: ...


class FloatConvolution:
    """A convolution in float32, or in bfloat16, which is then also the type of its blocks.

    weight (out, in, taps) float32. bias (out,), or None if the following norm cancels it. slope: of the following
    leaky ReLU; 1 if there is none.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, dilation: int, slope: float = 1.0, dtype: torch.dtype = torch.float32
    ) -> None:
        weight, bias = weight.to(dtype), None if bias is None else bias.to(dtype)
        self.dtype = dtype
        self.context = dilation * (weight.shape[2] - 1)
        # For a head's single output, oneDNN is no faster, and would cache a kernel for each size.
        make = onednn.packed if len(weight) > 1 and onednn.available(weight.device, dtype) else unpacked
        self._product = make(weight, bias, dilation, slope)

    def __call__(self, block: Tensor) -> Tensor:
        return self._product(block if block.dtype == self.dtype else block.to(self.dtype))


def unpacked(weight: Tensor, bias: Tensor | None, dilation: int, slope: float) -> Callable[[Tensor], Tensor]:
    """Like `onednn.packed`, but without oneDNN: one matrix product that sums all taps in float32."""
    taps, side_by_side = weight.shape[2], weight.transpose(1, 2).flatten(1)
    if len(weight) == 1 and taps > 1:
        return _one_output(weight[0].t().contiguous(), bias, dilation, slope)

    def product(block: Tensor) -> Tensor:
        if taps == 1:
            output = F.linear(block, side_by_side, bias)
        else:
            time, streams = len(block) - dilation * (taps - 1), block.shape[1]
            output = F.linear(joined(shifted(block, time, dilation, taps)), side_by_side, bias).view(time, streams, -1)
        return output if slope == 1 else F.leaky_relu_(output, slope)

    return product


def _one_output(weight: Tensor, bias: Tensor | None, dilation: int, slope: float) -> Callable[[Tensor], Tensor]:
    """The same for a single output, weight (taps, in): moves a few numbers per tap instead of the inputs of all
    taps."""
    taps = len(weight)

    def product(block: Tensor) -> Tensor:
        time = len(block) - dilation * (taps - 1)
        of_taps = F.linear(block, weight).float()
        output = sum(of_taps[tap * dilation : tap * dilation + time, :, tap] for tap in range(taps))
        assert isinstance(output, Tensor)
        output = (output if bias is None else output + bias).to(block.dtype)
        return (output if slope == 1 else F.leaky_relu_(output, slope)).unsqueeze(2)

    return product


class Int8Convolution:
    """A convolution with int8 products and int32 sums: weights scaled by output channel, activations by input channel.

    The scale of an activation is its standard deviation in the preceding BatchNorm, so no calibration is needed, and
    the result for a frame does not depend on its neighbours.
    mean, std: (in,), of the raw input. The other arguments are FloatConvolution's.
    """

    def __init__(self, weight: Tensor, bias: Tensor, dilation: int, slope: float, mean: Tensor, std: Tensor) -> None:
        scale = 127 / (INT8_RANGE * std)
        scaled = weight / scale[:, None]
        step = scaled.abs().amax(dim=(1, 2)) / 127
        matrix = (scaled / step[:, None, None]).round().to(torch.int8)
        self.matrix = matrix.permute(2, 1, 0).reshape(-1, len(matrix)).contiguous()
        self.scale, self.shift = scale.numpy(), (-mean * scale).numpy()
        self.step, self.bias = step.numpy(), (bias + torch.einsum("oit,i->o", weight, mean)).numpy()
        self.slope = np.float32(slope)
        self.taps = weight.shape[2]
        self.dilation = dilation
        self.context = dilation * (self.taps - 1)

    def __call__(self, block: Tensor) -> Tensor:
        time, streams = len(block) - self.context, block.shape[1]
        levels = torch.empty(block.shape, dtype=torch.int8)
        quantise(block.numpy(), self.scale, self.shift, levels.numpy())
        sums = torch._int_mm(joined(shifted(levels, time, self.dilation, self.taps)), self.matrix)
        output = torch.empty(sums.shape)
        dequantise(sums.numpy(), self.step, self.bias, self.slope, output.numpy())
        return output.view(time, streams, -1)


@compiled
def quantise(
    block: NDArray[np.float32], scale: NDArray[np.float32], shift: NDArray[np.float32], levels: NDArray[np.int8]
) -> None:
    time, streams, channels = block.shape
    for frame in range(time):
        for stream in range(streams):
            for channel in range(channels):
                value = np.rint(block[frame, stream, channel] * scale[channel] + shift[channel])
                levels[frame, stream, channel] = np.int8(min(max(value, np.float32(-127)), np.float32(127)))


@compiled
def dequantise(
    sums: NDArray[np.int32],
    step: NDArray[np.float32],
    bias: NDArray[np.float32],
    slope: np.float32,
    output: NDArray[np.float32],
) -> None:
    rows, channels = sums.shape
    for row in range(rows):
        for channel in range(channels):
            value = np.float32(sums[row, channel]) * step[channel] + bias[channel]
            output[row, channel] = value if value > 0 else slope * value


def to_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """Copy an array to a device; on CUDA from pinned memory, so that the host need not wait.

    On any other device the copy is synchronous: it might read the array after it is freed
    (https://github.com/pytorch/pytorch/issues/139550).
    """
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def shifted(block: Tensor, time: int, dilation: int, taps: int) -> list[Tensor]:
    """The part of a block that each tap sees: (time * streams, channels), views."""
    return [block[tap * dilation : tap * dilation + time].reshape(-1, block.shape[2]) for tap in range(taps)]


def joined(rows: list[Tensor]) -> Tensor:
    """The inputs of all taps, side by side: (time * streams, taps * channels). A single tap's rows are not copied."""
    return torch.cat(rows, 1) if len(rows) > 1 else rows[0]

"""Convolutions by oneDNN, which torch brings along, on processors with AVX-512.

Weights are packed once; the taps are read from where they lie, without putting them side by side first; the bias and
the leaky ReLU are applied to sums that are still in registers. These are the operators that `torch.compile` puts in the
place of frozen modules: https://github.com/pytorch/pytorch/blob/main/torch/_inductor/fx_passes/mkldnn_fusion.py
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

#: A block of the size for which the weights are packed: what a step of 1 s of 32 streams gives the TDNN layers. Others
#: go as well.
TIME, STREAMS = 59, 32


def available(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether oneDNN is there, and fast, for tensors of a type on a device.

    Without AVX-512, oneDNN packs the weights of such convolutions otherwise for each size of the block, and would do so
    again at every call: up to a hundred times the time of the product itself.
    """
    if device.type != "cpu" or torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return dtype != torch.bfloat16 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def packed(weight: Tensor, bias: Tensor | None, dilation: int, slope: float) -> Callable[[Tensor], Tensor]:
    """A function (time + context, streams, in) -> (time, streams, out).

    weight (out, in, taps) and bias (out,) float32 or bfloat16, as the blocks; sums are in float32 either way.
    """
    activation: tuple[str, list[float]] = ("none", []) if slope == 1 else ("leaky_relu", [slope])
    if weight.shape[2] == 1:
        # As a convolution, oneDNN would pack it otherwise for each size of the block, at every call.
        matrix = torch.ops.mkldnn._reorder_linear_weight(weight[:, :, 0].contiguous(), TIME * STREAMS)

        def product(block: Tensor) -> Tensor:
            output: Tensor = torch.ops.mkldnn._linear_pointwise(block, matrix, bias, *activation, "")
            return output

        return product

    # A block is an image (1, in, time, streams) with the channels last.
    rates = ([0, 0], [1, 1], [dilation, 1], 1)
    size = [1, weight.shape[1], TIME + dilation * (weight.shape[2] - 1), STREAMS]
    kernel = torch.ops.aten.mkldnn_reorder_conv2d_weight(weight[..., None].to_mkldnn(), *rates, size)

    def convolution(block: Tensor) -> Tensor:
        image = block.permute(2, 0, 1).unsqueeze(0)
        output: Tensor = torch.ops.mkldnn._convolution_pointwise(image, kernel, bias, *rates, *activation, "")
        return output.squeeze(0).permute(1, 2, 0)

    return convolution

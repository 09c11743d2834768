"""Convolutions by oneDNN, which is part of torch, on processors with AVX-512.

Weights are packed once. The taps are read in place, without a copy that puts them side by side. The bias and the leaky
ReLU are applied to sums that are still in registers. `torch.compile` uses the same operators for frozen modules:
https://github.com/pytorch/pytorch/blob/main/torch/_inductor/fx_passes/mkldnn_fusion.py
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

#: The block size for which weights are packed: the input of the TDNN layers for 1 s steps of 32 streams. Other sizes
#: work as well.
TIME, STREAMS = 59, 32


def available(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether oneDNN is available, and fast, for tensors of a type on a device.

    Without AVX-512, oneDNN packs the weights of such convolutions differently for each block size, and would repeat
    that at every call: up to a hundred times the time of the product itself.
    """
    if device.type != "cpu" or torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return dtype != torch.bfloat16 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def packed(weight: Tensor, bias: Tensor | None, dilation: int, slope: float) -> Callable[[Tensor], Tensor]:
    """A function (time + context, streams, in) -> (time, streams, out).

    weight (out, in, taps), bias (out,): float32 or bfloat16, the dtype of the blocks. Sums are in float32 in any case.
    """
    activation: tuple[str, list[float]] = ("none", []) if slope == 1 else ("leaky_relu", [slope])
    if weight.shape[2] == 1:
        # As a convolution, oneDNN would pack it differently for each block size, at every call.
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

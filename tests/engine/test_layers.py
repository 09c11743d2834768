"""The engine's convolutions against torch's, in every layer's shape, with and without oneDNN."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from streamer.engine import onednn
from streamer.engine.layers import unpacked

#: in, out, taps, dilation, slope: the layers of the front end, the TDNN, and a head.
LAYERS = [
    (40, 60, 5, 1, 1.0),
    (60, 512, 5, 1, 0.01),
    (512, 512, 3, 3, 0.01),
    (512, 1500, 1, 1, 0.01),
    (512, 1, 1, 1, 1.0),
    (512, 1, 3, 2, 1.0),
]
#: What rounding may do to outputs of a standard deviation of 1.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.05}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("make", [onednn.packed, unpacked])
def test_a_convolution_is_torchs_for_blocks_of_any_size(layer, dtype, make):
    if make is onednn.packed and not onednn.available(torch.device("cpu"), dtype):
        pytest.skip("this torch or this processor has no oneDNN for it")
    channels, out, taps, dilation, slope = layer
    generator = torch.Generator().manual_seed(taps)
    weight = torch.randn(out, channels, taps, generator=generator).to(dtype) / (channels * taps) ** 0.5
    bias = torch.randn(out, generator=generator).to(dtype)
    for given in (bias, None):
        convolution = make(weight, given, dilation, slope)
        for time, streams in [(1, 1), (15, 1), (59, 3), (60, 32), (7, 129)]:
            block = torch.randn(time + dilation * (taps - 1), streams, channels, generator=generator).to(dtype)
            wide = None if given is None else given.float()
            expected = F.conv1d(block.float().permute(1, 2, 0), weight.float(), wide, dilation=dilation)
            output = convolution(block)
            assert output.is_contiguous()
            assert output.dtype == dtype
            torch.testing.assert_close(
                output.float(), F.leaky_relu(expected, slope).permute(2, 0, 1), atol=TOLERANCE[dtype], rtol=0.01
            )

"""From samples to frames for many streams at once, carrying over what the next samples will need.

The layers advance in hops of 270 samples, so that every layer moves by a whole number of its positions (9, 3, 1 a hop)
and what it carries over has a constant size. Streams with fewer new hops than the batch's longest are padded; what is
computed of the padding is never kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamer.engine.instance import after_sinc
from streamer.engine.layers import (
    Affine,
    Convolution,
    FloatConvolution,
    Int8Convolution,
    Norm,
    Precision,
)
from streamer.engine.sinc import POSITION_STRIDE, SincFilters
from streamer.models.architecture import POOL, SINC_FILTERS
from streamer.models.sincnet import ZeroSumConv1d
from streamer.models.xvector import ATTENTION_LAYER, SPEECH_LAYER, XVectorSincNet

#: Positions a hop of 270 samples at the input of the two small convolutions and of the TDNN layers.
RATES = (POOL * POOL, POOL, 1, 1, 1, 1, 1)
HOP = POSITION_STRIDE * RATES[0]
#: Of the leaky ReLUs.
SLOPE = nn.LeakyReLU().negative_slope


class Carry:
    """What the layers keep of the past, as one row a stream, taken apart and put together layer by layer.

    rows (streams, size) float32; hops (streams,) int64, how many of the block's hops are each stream's own; common,
    that number where all have the same, so that the past to keep is in one place.
    """

    def __init__(self, rows: Tensor, hops: Tensor, common: int | None) -> None:
        self.rows = rows
        self.hops = hops
        self.common = common
        self.kept: list[Tensor] = []
        self.offset = 0

    def extend(self, block: Tensor, context: int, rate: int) -> Tensor:
        """Put the last `context` positions of the past before a block (time, streams, channels) of `rate` a hop."""
        if context == 0:
            return block
        streams, channels = block.shape[1:]
        size = context * channels
        past = self.rows[:, self.offset : self.offset + size].view(streams, context, channels)
        self.offset += size
        extended = torch.cat([past.transpose(0, 1).to(block.dtype), block])
        if self.common is not None:
            kept = extended[self.common * rate :][:context].transpose(0, 1)
        else:
            last = self.hops[:, None] * rate + torch.arange(context, device=block.device)
            kept = extended[last, torch.arange(streams, device=block.device)[:, None]]
        self.kept.append(kept.reshape(streams, size))
        return extended

    def next_rows(self) -> Tensor:
        return torch.cat(self.kept, dim=1)


class NoCarry:
    """Whole windows have no past: every layer uses up frames of its own input."""

    def extend(self, block: Tensor, context: int, rate: int) -> Tensor:
        return block


@dataclass(frozen=True, slots=True)
class FrameBlock:
    """Frames of a batch: features (frames, streams, 1500) before the last norm; attention and speech (frames, streams)
    in (0, 1), or None where the network has no such head."""

    features: Tensor
    attention: Tensor | None
    speech: Tensor | None


class FrameLayers:
    """The layers of a network up to the pooling, prepared for one device and precision."""

    def __init__(self, network: XVectorSincNet, precision: Precision = "float32") -> None:
        sincnet, architecture = network.sincnet, network.architecture
        self.log_front = architecture.front == "log"
        self.sinc = SincFilters(sincnet.filterbank.filters()[:, 0].detach())
        wave_norm = batch_affine(sincnet.wav_norm1d)
        self.wave_norm = Affine(wave_norm.scale[None], wave_norm.shift[None])
        # The front end stays in float32: it is a tenth of the work and sees the widest range of values.
        small = [module for module in sincnet.conv1d if isinstance(module, nn.Conv1d)]
        self.small = [_convolution(module, biased=False) for module in small]
        # A constant in the input of a norm: one of the window's own statistics takes it out, others are corrected.
        norms = zip(sincnet.norm1d, [None, *(module.bias for module in small)], strict=True)
        self.norms = [batch_affine(norm, bias) for norm, bias in norms] if architecture.frame_local else []
        self.tdnns: list[Convolution] = []
        self.speech: Convolution | None = None
        self.attention: Convolution | None = None
        # A head is too small to gain from int8; of blocks in bfloat16, it makes what it can without converting them.
        heads: Precision = "bfloat16" if precision == "bfloat16" else "float32"
        before: nn.Module | None = None
        for layer, start in enumerate(range(0, len(network.tdnns), 3)):
            self.tdnns.append(_convolution(network.tdnns[start], before, precision, SLOPE))
            before = network.tdnns[start + 2]
            if layer == SPEECH_LAYER and architecture.speech_head:
                self.speech = _convolution(network.speech, before, heads)
            if layer == ATTENTION_LAYER and architecture.attention:
                self.attention = _convolution(network.attention, before, heads)
        assert before is not None
        self.last_norm = batch_affine(before)

    @property
    def channels(self) -> int:
        """Channels of the pooled frames."""
        return len(self.last_norm.scale)

    @property
    def device(self) -> torch.device:
        return self.sinc.filters.device

    @property
    def carry_size(self) -> int:
        """Length of one stream's row in a Carry."""
        channels = [SINC_FILTERS // (2 if self.log_front else 1), 60, 60, 512, 512, 512, 512]
        layers = [*self.small, *self.tdnns]
        return sum(layer.context * width for layer, width in zip(layers, channels, strict=True))

    def first(self, waves: Tensor) -> Tensor:
        """What the first layer makes of (streams, samples): (positions, streams, 40 or 80), before any norm."""
        if self.log_front:
            return self.sinc.log_power(waves)
        return rectified(after_sinc(self.wave_norm, self.sinc.filters, self.sinc.filtered(waves)))

    def front(self, block: Tensor, carry: Carry | NoCarry, norms: Sequence[Norm]) -> Tensor:
        """What follows `first`, up to the TDNN: (9 n, streams, 40 or 80) -> (n, streams, 60)."""
        if not self.log_front:
            block = F.leaky_relu_(norms[0](block))
        for convolution, norm, rate in zip(self.small, norms[1:], RATES, strict=False):
            block = max_pool(convolution(carry.extend(block, convolution.context, rate)))
            block = F.leaky_relu_(norm(block))
        return block

    def tdnn(self, block: Tensor, carry: Carry | NoCarry) -> FrameBlock:
        """The TDNN layers and the heads."""
        speech = attention = None
        for layer, convolution in enumerate(self.tdnns):
            extended = carry.extend(block, convolution.context, 1)
            if layer == SPEECH_LAYER + 1 and self.speech is not None:
                speech = self.speech(extended).squeeze(2).float().sigmoid_()
            if layer == ATTENTION_LAYER + 1 and self.attention is not None:
                attention = self.attention(extended).squeeze(2).float().sigmoid_()
            block = convolution(extended)
        return FrameBlock(block.float(), attention, speech)


def rectified(filtered: Tensor) -> Tensor:
    """Rectify and pool the sinc filters' output (positions, streams, 3, 80) to (positions, streams, 80)."""
    return filtered.abs_().amax(dim=2)


def max_pool(block: Tensor) -> Tensor:
    """(3 n, streams, channels) -> (n, streams, channels); a rest of one or two positions is left out."""
    count = len(block) // POOL
    return block[: count * POOL].view(count, POOL, *block.shape[1:]).amax(dim=1)


def batch_affine(norm: nn.Module, bias: Tensor | None = None) -> Affine:
    """A BatchNorm in evaluation mode as scale and shift; an absent norm as the identity.

    bias: what the layer before should have added to its output, and did not.
    """
    if not isinstance(norm, nn.BatchNorm1d):
        return Affine(torch.ones(1), torch.zeros(1))
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight.detach() / (norm.running_var + norm.eps).sqrt()
    mean = norm.running_mean if bias is None else norm.running_mean - bias
    return Affine(scale, norm.bias.detach() - mean * scale)


def _convolution(
    module: nn.Module,
    before: nn.Module | None = None,
    precision: Precision = "float32",
    slope: float = 1.0,
    *,
    biased: bool = True,
) -> Convolution:
    """A Conv1d, with the BatchNorm before it folded in."""
    assert isinstance(module, nn.Conv1d) and module.bias is not None
    weight = module.kernel() if isinstance(module, ZeroSumConv1d) else module.weight
    weight, bias, dilation = weight.detach(), module.bias.detach(), module.dilation[0]
    if before is None:
        return FloatConvolution(weight, bias if biased else None, dilation, slope)
    affine = batch_affine(before)
    bias = bias + torch.einsum("oit,i->o", weight, affine.shift)
    weight = weight * affine.scale[:, None]
    if precision == "int8":
        assert isinstance(before, nn.BatchNorm1d)
        assert before.running_mean is not None and before.running_var is not None
        std = (before.running_var + before.eps).sqrt()
        return Int8Convolution(weight, bias, dilation, slope, before.running_mean, std)
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    return FloatConvolution(weight, bias, dilation, slope, dtype)

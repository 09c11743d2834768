"""The layers of a SincNet x-vector from samples to frames, for many streams at once.

They advance in hops of 270 samples, so that every layer moves by a whole number of its positions: 9, 3 or 1 per hop.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from streamer.compiled import compiled
from streamer.engine.backbone import FrameBlock, Hops
from streamer.engine.layers import Affine, Convolution, FloatConvolution, Int8Convolution, Norm, Precision
from streamer.engine.sincnet.instance import after_sinc
from streamer.models.architecture import POOL
from streamer.models.carry import Carry, NoCarry
from streamer.models.grid import FrameGrid
from streamer.models.sinc import HALF, POSITION_FIELD, POSITION_STRIDE, SincFilters, positions
from streamer.models.sincnet import ZeroSumConv1d
from streamer.models.xvector import ATTENTION_LAYER, SPEECH_LAYER, XVectorSincNet

Floats = NDArray[np.float32]

#: The negative slope of the leaky ReLUs.
SLOPE = nn.LeakyReLU().negative_slope


class SincNetFrameLayers:
    """The layers of a network up to the pooling, prepared for one device and precision.

    compiled: whether the pooling, norms and activations of the front end run as one compiled pass, instead of tensor
        operations; None chooses by device.
    speech: whether to compute the speech head, if there is one.
    """

    def __init__(
        self,
        network: XVectorSincNet,
        precision: Precision = "float32",
        compiled: bool | None = None,
        speech: bool = True,
    ) -> None:
        sincnet, architecture = network.sincnet, network.architecture
        self.compiled = network.device.type == "cpu" if compiled is None else compiled
        self.log_front = architecture.front == "log"
        self.sinc = SincFilters(sincnet.filterbank.filters()[:, 0].detach())
        wave_norm = batch_affine(sincnet.wav_norm1d)
        self.wave_norm = Affine(wave_norm.scale[None], wave_norm.shift[None])
        # The front end stays in float32: it is a tenth of the work, and its values have the widest range.
        small = [module for module in sincnet.conv1d if isinstance(module, nn.Conv1d)]
        self.small = [_convolution(module, biased=False) for module in small]
        #: Positions per hop at the input of each small convolution; a pooling layer follows each.
        self.rates = [POOL ** (len(small) - layer) for layer in range(len(small))]
        # The small convolutions leave out their biases. A norm with the window's own statistics would cancel a bias;
        # for a norm with fixed statistics, its mean is corrected.
        norms = zip(sincnet.norm1d, [None, *(module.bias for module in small)], strict=True)
        self.norms = [batch_affine(norm, bias) for norm, bias in norms] if architecture.frame_local else []
        self.tdnns: list[Convolution] = []
        self.speech: Convolution | None = None
        self.attention: Convolution | None = None
        # A head is too small to gain from int8. It computes in bfloat16 if the blocks are in bfloat16, which saves
        # converting them.
        heads: Precision = "bfloat16" if precision == "bfloat16" else "float32"
        before: nn.Module | None = None
        for layer, start in enumerate(range(0, len(network.tdnns), 3)):
            self.tdnns.append(_convolution(network.tdnns[start], before, precision, SLOPE))
            before = network.tdnns[start + 2]
            if layer == SPEECH_LAYER and architecture.speech_head and speech:
                self.speech = _convolution(network.speech, before, heads)
            if layer == ATTENTION_LAYER and architecture.attention:
                self.attention = _convolution(network.attention, before, heads)
        assert before is not None
        self.last_norm = batch_affine(before)
        self.hops = self._hops(architecture.grid)
        inputs = [*small, *network.tdnns[::3]]
        #: Length of one stream's row in a Carry: for each layer, its context times its input channels.
        self.carry_size = sum(
            layer.context * module.in_channels
            for layer, module in zip([*self.small, *self.tdnns], inputs, strict=True)
            if isinstance(module, nn.Conv1d)
        )

    def _hops(self, grid: FrameGrid) -> Hops:
        # The past context of the small convolutions together, in input positions of the first one.
        seen = sum(layer.context * self.rates[0] // rate for layer, rate in zip(self.small, self.rates, strict=True))
        return Hops(
            grid,
            reads=(self.rates[0] - 1) * POSITION_STRIDE + POSITION_FIELD,
            lag=sum(layer.context for layer in self.tdnns),
            warm_up=math.ceil(seen / self.rates[0]),
        )

    @property
    def channels(self) -> int:
        """Channels of the pooled frames."""
        return len(self.last_norm.scale)

    @property
    def device(self) -> torch.device:
        return self.sinc.filters.device

    def first(self, waves: Tensor, carry: Carry | NoCarry) -> Tensor:
        """From samples (streams, samples) to the input of the first small convolution with its context, (4 + 9 n,
        streams, 40 or 80). Uses norms with fixed statistics."""
        if not self.log_front:
            filtered = after_sinc(self.wave_norm, self.sinc.filters, self.sinc.filtered(waves))
            return self.normalised(rectified(filtered), carry, self.norms[0])
        context, time = self.small[0].context, positions(waves)
        seen = carry.room(waves.t(), time, HALF, context)
        self.sinc.log_power(waves, out=seen[context:])
        carry.remember(seen, context, self.rates[0])
        return seen

    def normalised(self, block: Tensor, carry: Carry | NoCarry, norm: Norm) -> Tensor:
        """From the output of `rectified` to the input of the first small convolution with its context."""
        return carry.extend(F.leaky_relu_(norm(block)), self.small[0].context, self.rates[0])

    def front(self, seen: Tensor, carry: Carry | NoCarry, norms: Sequence[Norm]) -> Tensor:
        """From the input of the first small convolution to that of the first TDNN layer, (4 + n, streams, 60)."""
        following = zip([*self.small[1:], self.tdnns[0]], [*self.rates[1:], 1], strict=True)
        for convolution, norm, (after, rate) in zip(self.small, norms[1:], following, strict=True):
            outputs = convolution(seen)
            count = outputs.shape[0] // POOL
            seen = carry.room(outputs, count, outputs.shape[2], after.context)
            self._activate(outputs, norm, seen[-count:])
            carry.remember(seen, after.context, rate)
        return seen

    def _activate(self, outputs: Tensor, norm: Norm, activated: Tensor) -> None:
        """Pool, normalise and rectify (3 n, streams, channels) into (n, streams, channels). One or two positions left
        over at the end are dropped."""
        if self.compiled and isinstance(norm, Affine):
            pool_and_activate(outputs.numpy(), norm.scale.numpy(), norm.shift.numpy(), activated.numpy())
        else:
            activated.copy_(F.leaky_relu_(norm(max_pool(outputs))))

    def tdnn(self, seen: Tensor, carry: Carry | NoCarry) -> FrameBlock:
        """Compute the TDNN layers and the heads, from the input of the first TDNN layer with its context."""
        speech = attention = None
        block = seen
        for layer, convolution in enumerate(self.tdnns):
            seen = carry.extend(block, convolution.context, 1) if layer else block
            if layer == SPEECH_LAYER + 1 and self.speech is not None:
                speech = self.speech(seen).float().sigmoid_()
            if layer == ATTENTION_LAYER + 1 and self.attention is not None:
                attention = self.attention(seen).squeeze(2).float().sigmoid_()
            block = convolution(seen)
        return FrameBlock(block.float(), attention, speech)


def rectified(filtered: Tensor) -> Tensor:
    """Rectify and pool the sinc filters' output (positions, streams, 3, 80) to (positions, streams, 80)."""
    return filtered.abs_().amax(dim=2)


def max_pool(block: Tensor) -> Tensor:
    """(3 n, streams, channels) -> (n, streams, channels). One or two positions left over at the end are dropped."""
    count = len(block) // POOL
    return block[: count * POOL].view(count, POOL, *block.shape[1:]).amax(dim=1)


@compiled
def pool_and_activate(outputs: Floats, scale: Floats, shift: Floats, activated: Floats) -> None:
    """Pool, normalise and rectify (3 n, streams, channels) into (n, streams, channels)."""
    time, streams, channels = activated.shape
    for position in range(time):
        for stream in range(streams):
            row = activated[position, stream]
            first, second, third = (
                outputs[POOL * position, stream], outputs[POOL * position + 1, stream],
                outputs[POOL * position + 2, stream],
            )  # fmt: skip
            for channel in range(channels):
                # np.maximum returns NaN if an argument is NaN: a broken stream must not look healthy.
                most = np.maximum(np.maximum(first[channel], second[channel]), third[channel])
                value = most * scale[channel] + shift[channel]
                row[channel] = value if value > 0 else np.float32(SLOPE) * value


def batch_affine(norm: nn.Module, bias: Tensor | None = None) -> Affine:
    """A BatchNorm in evaluation mode as scale and shift; the identity if there is no norm.

    bias: the bias of the preceding layer, which that layer did not add to its output.
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
    """A Conv1d, with the BatchNorm before it folded in.

    before: that norm; None if there is none. biased: whether to add the bias; only used if there is no norm before it.
    """
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

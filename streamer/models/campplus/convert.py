"""Converts 3D-Speaker's checkpoints of CAM++ to this package's networks: the same tensors, with the norms folded in.

Its files hold a flat dictionary of tensors (`speech_campplus_sv_zh_en_16k-common_advanced`, Apache-2.0), named as in
https://github.com/modelscope/3D-Speaker/blob/main/speakerlab/models/campplus/DTDNN.py
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from streamer.models.campplus.architecture import BLOCKS, PAST_TAPS
from streamer.models.fbank import BANDS, bands_below

#: A dictionary of tensors with this name is one of 3D-Speaker.
MARK = "xvector.block1.tdnnd1.cam_layer.linear_local.weight"
#: PyTorch's default, which the original uses.
NORM_EPSILON = 1e-5


def folded(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of `CamPlusPlus()` from the original's tensors. Raises KeyError if one is missing."""
    return {name: value.clone().contiguous() for name, value in _named(tensors)}


def of_the_past(state: Mapping[str, Tensor], heard_hz: float) -> dict[str, Tensor]:
    """The initial state for training a `CamPlusPlus` with context "past" and attention, from that of `folded`.

    The weights of taps on later frames are added to the middle tap. The averages of speech (`shape`, `expected`) are
    yet to be measured.
    """
    found = dict(state)
    for block, taps in enumerate(PAST_TAPS):
        for name in [name for name in state if name.startswith(f"layers.blocks.{block}.") and name.endswith(".taps")]:
            before, middle, after = state[name].unbind(2)
            found[name] = torch.stack([before, middle + after][-taps:], 2) if taps == 2 else state[name].sum(2, True)
    found["layers.heard"] = bands_below(heard_hz)
    found["attention.weight"] = torch.zeros(1, state["layers.last.scale"].shape[0])
    found["attention.bias"] = torch.full((1,), 2.0)
    return found


def _named(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    yield from _map("layers.front.first", tensors, "head.conv1", "head.bn1")
    for number, theirs in enumerate(f"head.layer{layer}.{part}" for layer in (1, 2) for part in (0, 1)):
        ours = f"layers.front.residuals.{number}"
        yield from _map(f"{ours}.first", tensors, f"{theirs}.conv1", f"{theirs}.bn1")
        yield from _map(f"{ours}.second", tensors, f"{theirs}.conv2", f"{theirs}.bn2")
        if f"{theirs}.shortcut.0.weight" in tensors:
            yield from _map(ours, tensors, f"{theirs}.shortcut.0", f"{theirs}.shortcut.1")
    yield from _map("layers.front.last", tensors, "head.conv2", "head.bn2")
    yield from _convolution("layers.front", tensors, "xvector.tdnn.linear", "xvector.tdnn.nonlinear.batchnorm")
    for block, (layers, _) in enumerate(BLOCKS):
        for layer in range(layers):
            theirs = f"xvector.block{block + 1}.tdnnd{layer + 1}"
            yield from _dense(f"layers.blocks.{block}.{layer}", tensors, theirs)
        theirs = f"xvector.transit{block + 1}"
        yield from _activation(f"layers.transitions.{block}.activation", tensors, f"{theirs}.nonlinear.batchnorm")
        yield f"layers.transitions.{block}.weight", tensors[f"{theirs}.linear.weight"].flatten(1)
    yield from _activation("layers.last", tensors, "xvector.out_nonlinear.batchnorm")
    yield "layers.shape", torch.zeros(BANDS)
    yield "layers.heard", torch.ones(BANDS)
    for name, value in _convolution("embedding", tensors, "xvector.dense.linear", "xvector.dense.nonlinear.batchnorm"):
        yield name, value.flatten(1) if name.endswith("weight") else value


def _dense(ours: str, tensors: Mapping[str, Tensor], theirs: str) -> Iterator[tuple[str, Tensor]]:
    yield from _activation(f"{ours}.activation", tensors, f"{theirs}.nonlinear1.batchnorm")
    for name, value in _convolution(f"{ours}.inner", tensors, f"{theirs}.linear1", f"{theirs}.nonlinear2.batchnorm"):
        yield name, value.flatten(1) if name.endswith("weight") else value
    gate = f"{theirs}.cam_layer"
    yield f"{ours}.taps", tensors[f"{gate}.linear_local.weight"]
    for mine, linear in (("squeeze", "linear1"), ("excite", "linear2")):
        yield f"{ours}.{mine}.weight", tensors[f"{gate}.{linear}.weight"].flatten(1)
        yield f"{ours}.{mine}.bias", tensors[f"{gate}.{linear}.bias"]
    yield f"{ours}.expected", torch.zeros(len(tensors[f"{theirs}.nonlinear2.batchnorm.weight"]))


def _map(ours: str, tensors: Mapping[str, Tensor], convolution: str, norm: str) -> Iterator[tuple[str, Tensor]]:
    """In the original, bands come before time."""
    for name, value in _convolution(ours, tensors, convolution, norm):
        yield name, value.transpose(2, 3) if name.endswith("weight") else value


def _convolution(ours: str, tensors: Mapping[str, Tensor], convolution: str, norm: str) -> Iterator[tuple[str, Tensor]]:
    """A convolution without a bias, and the norm after it."""
    scale, shift = _affine(tensors, norm)
    weight = tensors[f"{convolution}.weight"]
    yield f"{ours}.weight", weight * scale.view(-1, *[1] * (weight.dim() - 1))
    yield f"{ours}.bias", shift


def _activation(ours: str, tensors: Mapping[str, Tensor], norm: str) -> Iterator[tuple[str, Tensor]]:
    scale, shift = _affine(tensors, norm)
    yield f"{ours}.scale", scale
    yield f"{ours}.shift", shift


def _affine(tensors: Mapping[str, Tensor], norm: str) -> tuple[Tensor, Tensor]:
    """A norm with fixed statistics as scale and shift, (channels,) each; the last one has no weights."""
    scale = (tensors[f"{norm}.running_var"] + NORM_EPSILON).rsqrt()
    mean = tensors[f"{norm}.running_mean"]
    if f"{norm}.weight" not in tensors:
        return scale, -mean * scale
    scale = scale * tensors[f"{norm}.weight"]
    return scale, tensors[f"{norm}.bias"] - mean * scale

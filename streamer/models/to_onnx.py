"""Exports a model as an ONNX file, for onnxruntime and other readers, and checks it against torch."""

from __future__ import annotations

import io
import warnings
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import nn

from streamer.audio.chunks import SAMPLE_RATE
from streamer.errors import CheckpointError, ConfigurationError
from streamer.models.campplus.exportable import Exportable
from streamer.models.campplus.network import CamPlusPlus
from streamer.models.model import Model
from streamer.models.onnx import OnnxNetwork, load
from streamer.models.xvector import XVectorSincNet

#: Lengths to compare, in seconds, and batch sizes; the file must not depend on one length or batch size.
SECONDS = (1.0, 2.3, 5.0)
BATCHES = (1, 2)
OPSET = 17


class Bounds(NamedTuple):
    """What a file is held to. tolerance: what its embeddings may differ by from torch's, 1 less their cosine.

    shortest: whether this is so from the shortest audio on that the network takes.
    """

    tolerance: float
    shortest: bool


#: Unit vectors whose cosine lacks 5e-9 lie 1e-4 apart.
CAMPPLUS = Bounds(5e-9, shortest=True)
#: It takes the log of what may be next to nothing, and short audio has few frames to even that out.
SINCNET = Bounds(1e-5, shortest=False)


def to_onnx(model: Model) -> tuple[bytes, float]:
    """The file, which takes waveforms (batch, 1, samples) at 16 kHz and returns embeddings (batch, dimension); and the
    largest difference from torch (1 minus the cosine).

    The file holds the network alone, without threshold, calibration, cohort and licence.

    Raises ConfigurationError for a family without ONNX export, CheckpointError if the file gives other embeddings,
    MissingDependency without onnxruntime.
    """
    network = _exportable(model)
    file = io.BytesIO()
    example = torch.zeros(2, 1, 2 * SAMPLE_RATE)
    with warnings.catch_warnings():
        # The other exporter needs onnxscript; the warnings about both are not for users of this package.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (example,),
            cast(Any, file),  # it accepts more than its type says
            dynamo=False,
            input_names=["waveform"],
            output_names=["embedding"],
            dynamic_axes={"waveform": {0: "batch", 2: "samples"}, "embedding": {0: "batch"}},
            opset_version=OPSET,
        )
    data = file.getvalue()
    difference, tolerance = compared(model, _read(data, model.card.name)), bounds_of(model).tolerance
    if not difference <= tolerance:
        raise CheckpointError(
            f"the file's embeddings differ from torch's by {difference:.1g}; {tolerance:g} is allowed."
        )
    return data, difference


def _exportable(model: Model) -> nn.Module:
    """The network on the CPU, by operations that a file can hold."""
    network = model.to("cpu").network
    if isinstance(network, XVectorSincNet):
        return network
    if isinstance(network, CamPlusPlus):
        return Exportable(network).eval()
    if isinstance(network, OnnxNetwork):
        raise ConfigurationError(f"{model.card.name!r} is an ONNX file, or was made of one: take that file.")
    raise ConfigurationError(
        f"{model.card.name!r} is of the family {model.architecture.family!r}; SincNet x-vectors and CAM++ are "
        "exported. `torch.onnx.export` makes such a file of a torch module on waveforms (batch, 1, samples)."
    )


def bounds_of(model: Model) -> Bounds:
    return CAMPPLUS if isinstance(model.network, CamPlusPlus) else SINCNET


def _read(data: bytes, name: str) -> Model:
    read = load(data, name, name)
    return Model(read.network, read.card)


def compared(model: Model, other: Model) -> float:
    """The largest difference (1 minus the cosine) between two models' embeddings of noise with varying level."""
    rng = np.random.default_rng(0)
    lengths = [round(seconds * SAMPLE_RATE) for seconds in SECONDS]
    if bounds_of(model).shortest:
        lengths += [model.minimum_samples, model.minimum_samples + model.grid.stride - 1]
    worst = 0.0
    for samples in lengths:
        for batch in BATCHES:
            waves = rng.normal(0, 0.1, (batch, 1, samples)) * np.abs(np.sin(np.arange(samples) / 3000))
            one, two = (made(torch.from_numpy(waves.astype(np.float32))).double() for made in (model, other))
            worst = max(worst, float((1 - torch.cosine_similarity(one, two)).max()))
    return worst

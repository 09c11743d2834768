"""Exports a model as an ONNX file, for onnxruntime and other readers, and checks it against torch."""

from __future__ import annotations

import io
import warnings
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from streamer.audio.chunks import SAMPLE_RATE
from streamer.errors import CheckpointError, ConfigurationError
from streamer.models.model import Model
from streamer.models.onnx import load

#: The largest difference between the file's embeddings and torch's: 1 minus their cosine.
TOLERANCE = 1e-5
#: Lengths to compare, in seconds; the file must not depend on one length.
SECONDS = (1.0, 2.3, 5.0)
OPSET = 17


def to_onnx(model: Model) -> tuple[bytes, float]:
    """The file, which takes waveforms (batch, 1, samples) at 16 kHz and returns embeddings (batch, dimension); and the
    largest difference from torch (1 minus the cosine).

    Raises ConfigurationError for a family without ONNX export, CheckpointError if the file gives other embeddings,
    MissingDependency without onnxruntime.
    """
    if model.architecture.family != "sincnet":
        raise ConfigurationError(
            f"{model.card.name!r} is of the family {model.architecture.family!r}, whose frames are computed piece by "
            "piece: only SincNet x-vectors are exported. The published CAM++ is an ONNX file of 3D-Speaker's already."
        )
    file = io.BytesIO()
    example = torch.zeros(2, 1, 2 * SAMPLE_RATE)
    with warnings.catch_warnings():
        # The other exporter needs onnxscript; the warnings about both are not for users of this package.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            cast(nn.Module, model.to("cpu").network),
            (example,),
            cast(Any, file),  # it accepts more than its type says
            dynamo=False,
            input_names=["waveform"],
            output_names=["embedding"],
            dynamic_axes={"waveform": {0: "batch", 2: "samples"}, "embedding": {0: "batch"}},
            opset_version=OPSET,
        )
    data = file.getvalue()
    difference = compared(model, _read(data, model.card.name))
    if not difference <= TOLERANCE:
        raise CheckpointError(
            f"the file's embeddings differ from torch's by {difference:.1g}; {TOLERANCE:g} is allowed."
        )
    return data, difference


def _read(data: bytes, name: str) -> Model:
    read = load(data, name, name)
    return Model(read.network, read.card)


def compared(model: Model, other: Model) -> float:
    """The largest difference (1 minus the cosine) between two models' embeddings of noise with varying level."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for seconds in SECONDS:
        samples = round(seconds * SAMPLE_RATE)
        waves = rng.normal(0, 0.1, (3, 1, samples)) * np.abs(np.sin(np.arange(samples) / 3000))
        one, two = (made(torch.from_numpy(waves.astype(np.float32))).double() for made in (model, other))
        worst = max(worst, float((1 - torch.cosine_similarity(one, two)).max()))
    return worst

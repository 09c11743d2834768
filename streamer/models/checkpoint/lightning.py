"""Reads pyannote.audio's checkpoints, which Lightning saves during training, as data."""

from __future__ import annotations

import math
from typing import Any

from streamer.audio.chunks import SAMPLE_RATE
from streamer.errors import CheckpointMismatch, WrongArchitecture
from streamer.models.architecture import SINC_STRIDE, Architecture
from streamer.models.card import Checkpoint, ModelCard
from streamer.models.checkpoint.build import build_network
from streamer.models.checkpoint.pickles import Foreign, mapping_of, scalar_of
from streamer.models.checkpoint.torchfile import TorchFile

#: The only supported architecture, and the purposes of pyannote.audio's other classes.
EMBEDDING_CLASS = "XVectorSincNet"
_PURPOSES = {
    "PyanNet": "segmentation",
    "SSeRiouSS": "segmentation",
    "ToTaToNet": "separation",
    "XVectorMFCC": "embedding",
    "WeSpeakerResNet34": "embedding",
    "WeSpeakerResNet152": "embedding",
    "WeSpeakerResNet221": "embedding",
    "WeSpeakerResNet293": "embedding",
}
#: Hyper-parameters that change the network, with the only supported value; a checkpoint may omit them.
_FIXED = {"sample_rate": SAMPLE_RATE, "num_channels": 1}
_FIXED_SINCNET = {"sample_rate": SAMPLE_RATE, "stride": SINC_STRIDE}
#: Weights of the training loss (class centres of an angular margin): pyannote.audio loads the model without them.
_LOSS = "loss_func."
DEFAULT_DIMENSION = 512


def load(checkpoint: TorchFile, name: str, path: str) -> Checkpoint:
    """Read a pyannote.audio embedding checkpoint. `name` is the name of the model, `path` appears in messages.

    Raises WrongArchitecture for another kind of model, CheckpointUnreadable and CheckpointMismatch for a bad one.
    """
    about = mapping_of(mapping_of(checkpoint.content).get("pyannote.audio"))
    weights = mapping_of(checkpoint.content).get("state_dict")
    if not about or not mapping_of(weights):
        raise WrongArchitecture(
            f"{path!r} is a torch file, but not a checkpoint of pyannote.audio: it has no "
            f"{'pyannote.audio section' if not about else 'state_dict'}."
        )
    _check_class(about, path)
    hyper_parameters = mapping_of(mapping_of(checkpoint.content).get("hyper_parameters"))
    architecture = Architecture(dimension=_dimension(hyper_parameters, path))
    tensors = checkpoint.tensors(weights)
    unread = [str(key)[:80] for key in mapping_of(weights) if key not in tensors]
    if unread:
        raise CheckpointMismatch(f"{path!r}: {unread[0]} is not a plain tensor, nor are {len(unread) - 1} more.")
    left_out = sorted(key for key in tensors if key.startswith(_LOSS))
    network = build_network(architecture, {key: tensors[key] for key in tensors.keys() - set(left_out)}, path)
    return Checkpoint(network, ModelCard(name, details=_details(about, left_out)))


def _check_class(about: Any, path: str) -> None:
    architecture = mapping_of(about.get("architecture"))
    module, cls = (str(scalar_of(architecture.get(key)))[:80] for key in ("module", "class"))
    if cls == EMBEDDING_CLASS:
        return
    purpose = _PURPOSES.get(cls)
    kind = f"a {cls} {purpose} model" if purpose else f"a model of class {module}.{cls}"
    raise WrongArchitecture(
        f"{path!r} is {kind} of pyannote.audio; a speaker embedding model of class {EMBEDDING_CLASS}, "
        f"such as pyannote/embedding, is needed."
    )


def _dimension(hyper_parameters: Any, path: str) -> int:
    sincnet = mapping_of(hyper_parameters.get("sincnet"))
    for values, fixed in ((hyper_parameters, _FIXED), (sincnet, _FIXED_SINCNET)):
        for key, wanted in fixed.items():
            if key in values and (value := scalar_of(values[key])) != wanted:
                raise WrongArchitecture(f"{path!r} was trained with {key}={value!r}; only {wanted} is supported.")
    dimension = scalar_of(hyper_parameters.get("dimension", DEFAULT_DIMENSION))
    if type(dimension) is not int:
        raise WrongArchitecture(f"{path!r} records dimension={dimension!r}; a whole number is needed.")
    return dimension


def _details(about: Any, left_out: list[str]) -> dict[str, Any]:
    """The useful details from a checkpoint's metadata."""
    details: dict[str, Any] = {"class": f"pyannote.audio {EMBEDDING_CLASS}"}
    versions = {str(key)[:40]: str(scalar_of(value))[:40] for key, value in mapping_of(about.get("versions")).items()}
    if versions:
        details["versions"] = versions
    specifications = about.get("specifications")
    duration = scalar_of(specifications.state.get("duration")) if _has_state(specifications) else None
    if isinstance(duration, (int, float)) and math.isfinite(duration) and duration > 0:
        details["training_duration_s"] = float(duration)
    if left_out:
        details["left_out"] = left_out
    return details


def _has_state(value: Any) -> bool:
    return isinstance(value, Foreign) and isinstance(value.state, dict)

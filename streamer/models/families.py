"""The families of networks that a checkpoint in this package's format can hold, by name.

`streamer.engine.families` defines how the networks of a family are streamed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from streamer.errors import WrongArchitecture
from streamer.models.architecture import Architecture
from streamer.models.campplus.architecture import CamPlusPlusArchitecture
from streamer.models.campplus.network import CamPlusPlus
from streamer.models.network import Description, Network
from streamer.models.onnx import OnnxDescription, OnnxNetwork
from streamer.models.xvector import XVectorSincNet

#: The family of a checkpoint that names none.
SINCNET = Architecture.family


@dataclass(frozen=True, slots=True)
class Family:
    """describe: makes the description from a checkpoint's `architecture` values; raises WrongArchitecture for values
    unknown to this version. build: makes a network from a description, with weights that will be replaced.
    """

    name: str
    describe: Callable[[Mapping[str, Any]], Description]
    build: Callable[[Any], Network]


FAMILIES: dict[str, Family] = {}


def register(family: Family) -> None:
    """Register a family: checkpoints of it can be read from now on."""
    FAMILIES[family.name] = family


def family_named(name: str) -> Family:
    """The family with this name. Raises WrongArchitecture if it is not registered."""
    if name not in FAMILIES:
        raise WrongArchitecture(
            f"family {name!r} is not known here, only {', '.join(sorted(FAMILIES))}: a newer version wrote this model, "
            "or its network must be made known by `streamer.models.families.register` first."
        )
    return FAMILIES[name]


register(Family(SINCNET, Architecture.from_dict, XVectorSincNet))
register(Family("onnx", OnnxDescription.from_dict, OnnxNetwork))
register(Family(CamPlusPlusArchitecture.family, CamPlusPlusArchitecture.from_dict, CamPlusPlus))

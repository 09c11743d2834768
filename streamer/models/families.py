"""The kinds of network that a checkpoint of our own format can hold, by the name that stands in it.

How the networks of a family are streamed is said in `streamer.engine.families`.
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

#: Of a checkpoint that does not say.
SINCNET = Architecture.family


@dataclass(frozen=True, slots=True)
class Family:
    """describe: the description that a checkpoint's `architecture` values stand for; raises WrongArchitecture on one
    that this version does not know. build: a network of a description, whose weights are about to be replaced.
    """

    name: str
    describe: Callable[[Mapping[str, Any]], Description]
    build: Callable[[Any], Network]


FAMILIES: dict[str, Family] = {}


def register(family: Family) -> None:
    """Make a family known: checkpoints of it can be read from now on."""
    FAMILIES[family.name] = family


def family_named(name: str) -> Family:
    """Raises WrongArchitecture for one that nobody made known."""
    if name not in FAMILIES:
        raise WrongArchitecture(
            f"family {name!r} is not known here, only {', '.join(sorted(FAMILIES))}: a newer version wrote this model, "
            "or its network must be made known by `streamer.models.families.register` first."
        )
    return FAMILIES[name]


register(Family(SINCNET, Architecture.from_dict, XVectorSincNet))
register(Family("onnx", OnnxDescription.from_dict, OnnxNetwork))
register(Family(CamPlusPlusArchitecture.family, CamPlusPlusArchitecture.from_dict, CamPlusPlus))

"""Reading what distinguishes a network from others of its family, as a checkpoint keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from streamer.errors import WrongArchitecture

D = TypeVar("D")


def from_values(cls: type[D], values: Mapping[str, Any]) -> D:
    """An instance of a dataclass from its fields. Raises WrongArchitecture on one that this version does not know."""
    unknown = set(values) - {field.name for field in fields(cls)}  # type: ignore[arg-type]
    if unknown:
        raise WrongArchitecture(f"unknown architecture field(s) {sorted(unknown)}: a newer version wrote this model.")
    return cls(**values)

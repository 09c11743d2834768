"""Reads the hyper-parameters of a network, as stored in a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from streamer.errors import WrongArchitecture

D = TypeVar("D")


def from_values(cls: type[D], values: Mapping[str, Any]) -> D:
    """An instance of a dataclass from its fields. Raises WrongArchitecture for a field unknown to this version."""
    unknown = set(values) - {field.name for field in fields(cls)}  # type: ignore[arg-type]
    if unknown:
        raise WrongArchitecture(f"unknown architecture field(s) {sorted(unknown)}: a newer version wrote this model.")
    return cls(**values)

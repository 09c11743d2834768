"""A stream's state outside of the engine: bytes that say what they belong to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from streamer.engine.settings import WindowSettings
from streamer.errors import ConfigurationError, StateMismatch

FORMAT = "streamer-stream-2"

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One stream's state. `owner` names the model and the way of computing: it fits no other."""

    owner: str
    settings: WindowSettings
    values: Mapping[str, Any]
    arrays: Arrays

    def to_bytes(self) -> bytes:
        header = {
            "format": FORMAT,
            "owner": self.owner,
            "step_samples": self.settings.step_samples,
            "counts": self.settings.counts,
            "values": dict(self.values),
        }
        arrays = {name: np.ascontiguousarray(array) for name, array in self.arrays.items()}
        return save_tensors(arrays, metadata={"stream": json.dumps(header)})

    @classmethod
    def from_bytes(cls, data: bytes) -> Snapshot:
        """Raises StateMismatch on anything that `to_bytes` of this version did not write."""
        try:
            arrays = load_tensors(data)
            length = int.from_bytes(data[:8], "little")
            header = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["stream"])
            settings = WindowSettings(header["step_samples"], tuple(header["counts"]))
            snapshot = cls(header["owner"], settings, header["values"], arrays)
        except (SafetensorError, KeyError, ValueError, TypeError, ConfigurationError) as error:
            raise StateMismatch(f"these {len(data)} bytes are not a whole snapshot of a stream: {error!r}.") from error
        if header.get("format") != FORMAT:
            raise StateMismatch(f"the snapshot has format {header.get('format')!r}; this version reads {FORMAT!r}.")
        return snapshot

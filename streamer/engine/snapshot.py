"""A stream's snapshot: the engine it belongs to, and the state to resume from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load

from streamer.audio.chunks import Samples
from streamer.engine.settings import WindowSettings
from streamer.errors import ConfigurationError, StateMismatch
from streamer.snapshot import pack, unpack

FORMAT = "streamer-stream-3"
#: Errors from reading bytes that are not a snapshot, or are damaged.
DAMAGED = (SafetensorError, LookupError, ValueError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class StreamSnapshot:
    """One stream's state. `owner` identifies the model and mode of computation; the snapshot fits no other.

    state: of the engine, see `StreamState.snapshot`. pending: samples that wait for the rest of their step.
    """

    owner: str
    settings: WindowSettings
    state: Mapping[str, Any]
    pending: Samples

    def to_bytes(self) -> bytes:
        return pack(
            {
                "format": FORMAT,
                "owner": self.owner,
                "step_samples": self.settings.step_samples,
                "counts": self.settings.counts,
                "state": self.state,
                "pending": self.pending,
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> StreamSnapshot:
        """Raises StateMismatch unless `to_bytes` of this version, or the previous one, wrote the data."""
        try:
            saved = _of_format_2(data) or unpack(data)
            if saved["format"] != FORMAT:
                raise StateMismatch(f"the snapshot has format {saved['format']!r}; this version reads {FORMAT!r}.")
            settings = WindowSettings(saved["step_samples"], tuple(saved["counts"]))
            return cls(saved["owner"], settings, saved["state"], saved["pending"])
        except (*DAMAGED, ConfigurationError) as error:
            raise StateMismatch(f"these {len(data)} bytes are not a whole snapshot of a stream: {error!r}.") from error


def _of_format_2(data: bytes) -> dict[str, Any] | None:
    """Convert a snapshot of the previous version; None for any other bytes.

    That version kept all plain values in the header, and all arrays side by side.
    """
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__")
    if header is None:
        return None
    saved, arrays = json.loads(header["stream"]), load(data)
    if saved["format"] != "streamer-stream-2":
        return dict(saved)
    speech = {name: arrays.pop(name) for name in list(arrays) if name.startswith("speech.")}
    heads, pending, state = arrays.pop("tally.heads", None), arrays.pop("pending"), saved.pop("values")
    if "clock" in state:
        clock = state["clock"]
        begun = {"start_sample": clock["start_sample"], "first_frame": clock["first_frame"], "heard": 0, "energy": 0.0}
        state["begun"] = {**begun, "heads": heads} if state["begun"] else None
        state["pieces"] = arrays.pop("pieces", None)
        state["row"] = arrays
    else:
        state["tally"]["heads"] = heads
        state |= arrays
    state["speech"] = {name.removeprefix("speech."): array for name, array in speech.items()} or None
    return {**saved, "format": FORMAT, "state": state, "pending": pending}

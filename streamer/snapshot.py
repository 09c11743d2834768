"""Snapshots: the state of a stream, a tracker or a session as bytes, with nothing in them that could run.

Whatever has a state gives a snapshot of it, in plain values and arrays, its parts' included (`snapshot`), and goes on
from one: in place (`restore`), or as a new object (`restored`). What is to leave the process is packed here. Each kind
of snapshot says its version itself, and refuses others.
"""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from streamer.errors import StateMismatch

TREE = "tree"
ARRAY = "__array__"


def pack(tree: Any) -> bytes:
    """Dicts with string keys, lists, strings, numbers, None, and arrays; tuples, which come back as lists, and
    dataclasses, which come back as the dicts of their fields."""
    arrays: list[NDArray[Any]] = []

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            arrays.append(value)
            return {ARRAY: len(arrays) - 1}
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        if is_dataclass(value):
            return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
        return value

    text = json.dumps(plain(tree)).encode()
    # numpy's own format costs ten times as much where the arrays are small and many.
    named = {str(number): np.ascontiguousarray(array) for number, array in enumerate(arrays)}
    return save({TREE: np.frombuffer(text, np.uint8), **named})


def unpack(data: bytes) -> Any:
    """What `pack` was given. Raises StateMismatch where the bytes are not its work, or are damaged."""

    def whole(value: Any) -> Any:
        if isinstance(value, dict):
            if ARRAY in value:
                return arrays[str(value[ARRAY])]
            return {key: whole(item) for key, item in value.items()}
        return [whole(item) for item in value] if isinstance(value, list) else value

    try:
        arrays = load(data)
        return whole(json.loads(arrays.pop(TREE).tobytes()))
    except (SafetensorError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise StateMismatch(f"these {len(data)} bytes are not a snapshot, or a damaged one ({error}).") from error

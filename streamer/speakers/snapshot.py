"""Nested plain values and numpy arrays to bytes and back, with nothing in them that could run."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamer.errors import StateMismatch

TREE = "tree"
ARRAY = "__array__"


def pack(tree: Any) -> bytes:
    """Dicts with string keys, lists, tuples (which come back as lists), strings, numbers, None, and arrays."""
    arrays: list[NDArray[Any]] = []

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            arrays.append(value)
            return {ARRAY: len(arrays) - 1}
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return value

    text = json.dumps(plain(tree)).encode()
    file = io.BytesIO()
    named = {str(number): array for number, array in enumerate(arrays)}
    np.savez(file, **{TREE: np.frombuffer(text, np.uint8)}, **named)  # type: ignore[arg-type]
    return file.getvalue()


def unpack(data: bytes) -> Any:
    """What `pack` was given. Raises StateMismatch where the bytes are not its work, or are damaged."""

    def whole(value: Any) -> Any:
        if isinstance(value, dict):
            if ARRAY in value:
                return arrays[str(value[ARRAY])]
            return {key: whole(item) for key, item in value.items()}
        return [whole(item) for item in value] if isinstance(value, list) else value

    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return whole(json.loads(arrays.pop(TREE).tobytes()))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise StateMismatch(f"these {len(data)} bytes are not a snapshot, or a damaged one ({error}).") from error

"""Loading and saving models. No code in a checkpoint ever runs."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import IO

from streamer.errors import CheckpointUnreadable, ConfigurationError
from streamer.models import onnx
from streamer.models.card import Checkpoint, Source
from streamer.models.checkpoint import lightning, native, speakerlab
from streamer.models.checkpoint.hub import download
from streamer.models.checkpoint.native import save
from streamer.models.checkpoint.torchfile import TorchFile
from streamer.models.places import HEAD_BYTES, MAX_BYTES, format_of, locate

__all__ = ["load", "save"]


def load(
    source: Source,
    *,
    token: str | bool | None = None,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    subfolder: str | None = None,
) -> Checkpoint:
    """Read a checkpoint; see `Model.from_pretrained`."""
    if not isinstance(source, (str, os.PathLike)):
        return _load_file(source)
    name = os.fspath(source)
    path = locate(source, subfolder, revision)
    if path is not None:
        return _load_path(path, Path(source).name if Path(source).is_dir() else path.stem)
    downloaded = download(name, token=token, revision=revision, cache_dir=cache_dir, subfolder=subfolder)
    return _load_path(downloaded, name)


def _load_path(path: Path, name: str) -> Checkpoint:
    try:
        with path.open("rb") as file:
            return _load(file, name, str(path))
    except OSError as error:
        raise CheckpointUnreadable(f"{str(path)!r} cannot be read: {error.strerror or error}.") from error


def _load_file(file: IO[bytes]) -> Checkpoint:
    """Read a model from a binary file object, from its current position; pipes are read to their end first."""
    if not callable(getattr(file, "read", None)):
        raise ConfigurationError(f"a model is given by a path, an id or a binary file, not by a {type(file).__name__}.")
    name = str(getattr(file, "name", "checkpoint"))
    data = file.read(MAX_BYTES + 1)
    if not isinstance(data, bytes):
        raise ConfigurationError(f"{name!r} is open as text; open it as binary, with mode 'rb'.")
    return _load(io.BytesIO(data), Path(name).stem, name)


def _load(file: IO[bytes], name: str, path: str) -> Checkpoint:
    """Detect the format from the content; `name` is the name of the model, `path` appears in messages."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    kind = format_of(file.read(HEAD_BYTES), size, path)
    file.seek(0)
    if kind == "onnx":
        return onnx.load(file.read(), name, path)
    if kind == "native":
        return native.load(file.read(), path)
    checkpoint = TorchFile(file, path)
    load_torch = speakerlab.load if speakerlab.wrote(checkpoint) else lightning.load
    return load_torch(checkpoint, name, path)

"""Loading and saving models. No code in a checkpoint ever runs."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import IO

from streamer.errors import CheckpointUnreadable, ConfigurationError, ModelNotFound
from streamer.models import onnx
from streamer.models.checkpoint import lightning, native, speakerlab
from streamer.models.checkpoint.hub import FILE_NAMES, download, is_repository_id
from streamer.models.checkpoint.native import save
from streamer.models.checkpoint.torchfile import MAX_BYTES, TorchFile
from streamer.models.model import Model, Source

__all__ = ["load", "save"]

WEIGHTS = Path(__file__).parents[1] / "weights"
#: The models in this package, and which of them "default" is.
PACKAGED = ("sincnet", "campplus", "campplus-live")
DEFAULT = "sincnet"


def load(
    source: Source,
    *,
    token: str | bool | None = None,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    subfolder: str | None = None,
) -> Model:
    """Load a model; see `Model.from_pretrained`."""
    if not isinstance(source, (str, os.PathLike)):
        return _load_file(source)
    if isinstance(source, str) and source in ("default", *PACKAGED):
        name = DEFAULT if source == "default" else source
        return _load_path(WEIGHTS / f"{name}.safetensors", name)
    path = Path(source)
    if path.is_dir():
        _refuse_revision(revision, path)
        return _load_path(_file_in(path / (subfolder or "")), path.name)
    if path.exists():
        _refuse_revision(revision, path)
        return _load_path(path, path.stem)
    name = os.fspath(source)
    if not isinstance(source, str) or not is_repository_id(name):
        raise ModelNotFound(
            f"{name!r} is no file or directory, and no Hugging Face id (OWNER/NAME) either. "
            f"Check the path, or use one of the models in this package: default, {', '.join(PACKAGED)}."
        )
    downloaded = download(name, token=token, revision=revision, cache_dir=cache_dir, subfolder=subfolder)
    return _load_path(downloaded, name)


def _load_path(path: Path, name: str) -> Model:
    try:
        with path.open("rb") as file:
            return _load(file, name, str(path))
    except OSError as error:
        raise CheckpointUnreadable(f"{str(path)!r} cannot be read: {error.strerror or error}.") from error


def _load_file(file: IO[bytes]) -> Model:
    """Read a model from a binary file object, from where it stands; pipes are read to their end first."""
    if not callable(getattr(file, "read", None)):
        raise ConfigurationError(f"a model is given by a path, an id or a binary file, not by a {type(file).__name__}.")
    name = str(getattr(file, "name", "checkpoint"))
    data = file.read(MAX_BYTES + 1)
    if not isinstance(data, bytes):
        raise ConfigurationError(f"{name!r} is open as text; open it as binary, with mode 'rb'.")
    return _load(io.BytesIO(data), Path(name).stem, name)


def _load(file: IO[bytes], name: str, path: str) -> Model:
    """Tell the format by the content; `name` names the model, `path` stands in the messages."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(64)
    file.seek(0)
    if size > MAX_BYTES:
        raise CheckpointUnreadable(f"{path!r} has {size:,} bytes, more than the {MAX_BYTES:,} that a model may have.")
    if path.lower().endswith(".onnx"):
        return onnx.load(file.read(), name, path)  # nothing in the bytes says it
    if head.startswith(b"PK"):
        checkpoint = TorchFile(file, path)
        load_torch = speakerlab.load if speakerlab.wrote(checkpoint) else lightning.load
        return load_torch(checkpoint, name, path)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8:
        return native.load(file.read(), path)
    if head.startswith(b"version https://git-lfs"):
        raise CheckpointUnreadable(f"{path!r} is a Git LFS pointer, not the file itself; run `git lfs pull` beside it.")
    if head.startswith(b"\x80"):
        raise CheckpointUnreadable(
            f"{path!r} has the format of torch before 1.6, or is a bare pickle, which is not read; if you trust it, "
            f"load it with torch and `torch.save` it again."
        )
    raise CheckpointUnreadable(
        f"{path!r} is neither a torch checkpoint nor a safetensors file ({size:,} bytes); it may be cut short or a web "
        f"page saved under this name."
    )


def _file_in(directory: Path) -> Path:
    for name in FILE_NAMES:
        if (directory / name).is_file():
            return directory / name
    raise ModelNotFound(f"{str(directory)!r} holds no model; one of {', '.join(FILE_NAMES)} is needed.")


def _refuse_revision(revision: str | None, path: Path) -> None:
    if revision is not None:
        raise ConfigurationError(f"revision={revision!r} is for Hugging Face ids, but {str(path)!r} is here on disk.")

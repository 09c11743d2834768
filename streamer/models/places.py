"""Finds the file of a model: in this package, on disk, or on the hub. Works without torch.

A mistyped path can be reported within milliseconds; importing torch first would take seconds.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from streamer import plugins
from streamer.errors import CheckpointUnreadable, ConfigurationError, ModelNotFound

WEIGHTS = Path(__file__).parent / "weights"
#: The models in this package with their fingerprints, and which of them "default" is.
FINGERPRINTS = {
    "campplus-live": "ff9c83ed41aebefa",
    "sincnet": "dda4206ca7cf9b17",
    "campplus": "0585907ee1eca26b",
}
PACKAGED = tuple(FINGERPRINTS)
DEFAULT = "campplus-live"
#: File names of a model in a repository or a directory, in order of preference. pyannote's name comes first: a
#: safetensors file beside it would be from others and lack the metadata that this package needs.
FILE_NAMES = ("pytorch_model.bin", "model.safetensors")
#: An x-vector has 17 MB; with the state of the optimiser, which a training checkpoint also has, some 60.
MAX_BYTES = 2**30
#: The first bytes of a file that determine its format.
HEAD_BYTES = 64

_REPOSITORY_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*(@.*)?", re.ASCII)
_FILE_SUFFIXES = (".bin", ".ckpt", ".pt", ".pth", ".safetensors")


def is_repository_id(source: str) -> bool:
    """Whether this can be OWNER/NAME on the hub, and is not a mistyped path, for which no request should be made."""
    return _REPOSITORY_ID.fullmatch(source) is not None and not source.lower().endswith(_FILE_SUFFIXES)


def locate(source: str | os.PathLike[str], subfolder: str | None = None, revision: str | None = None) -> Path | None:
    """The file of a model, or None for a model of the hub.

    Raises ModelNotFound if it is neither, or a directory without a model; ConfigurationError for a revision of a model
    on disk.
    """
    if isinstance(source, str) and source in ("default", *PACKAGED):
        return WEIGHTS / f"{DEFAULT if source == 'default' else source}.safetensors"
    path = Path(source)
    if path.exists() and revision is not None:
        raise ConfigurationError(f"revision={revision!r} is for Hugging Face ids, but {str(path)!r} is here on disk.")
    if path.is_dir():
        return _file_in(path / (subfolder or ""))
    if path.exists():
        return path
    name = os.fspath(source)
    if not isinstance(source, str) or not is_repository_id(name):
        raise ModelNotFound(
            f"{name!r} is no file or directory, and no Hugging Face id (OWNER/NAME) either. "
            f"Check the path, or use one of the models in this package: default, {', '.join(PACKAGED)}."
        )
    return None


def of_a_package(source: object) -> bool:
    """Whether this names a model of an installed plugin; files and the models of this package come first."""
    if not isinstance(source, str) or source in ("default", *PACKAGED) or Path(source).exists():
        return False
    return plugins.has("networks", source)


def format_of(head: bytes, size: int, path: str) -> str:
    """The format of a file by its first bytes: "onnx", "torch" or "native". Raises CheckpointUnreadable for any other.

    head: its first bytes, `HEAD_BYTES` or all. size: of the whole file. path: what messages call it, with its ending.
    """
    if size > MAX_BYTES:
        raise CheckpointUnreadable(f"{path!r} has {size:,} bytes, more than the {MAX_BYTES:,} that a model may have.")
    if path.lower().endswith(".onnx"):
        return "onnx"  # ONNX files have no magic bytes
    if head.startswith(b"PK"):
        return "torch"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8:
        return "native"
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


def fingerprint_of(source: str) -> str | None:
    """The fingerprint of a model in this package, as in `Model.fingerprint`; None for any other source."""
    return FINGERPRINTS.get(DEFAULT if source == "default" else source)


def called(fingerprint: str) -> str:
    """The name of a model with this fingerprint, for messages: its name, if it is one of this package."""
    names = [name for name, known in FINGERPRINTS.items() if known == fingerprint]
    return names[0] if names else fingerprint


def check(source: str | os.PathLike[str], revision: str | None = None) -> None:
    """Check a model without loading it. Raises the errors of `locate` and `format_of`, and CheckpointUnreadable for a
    file that may not be read. The hub is not asked."""
    if of_a_package(source):
        return
    path = locate(source, revision=revision)
    if path is None or (path.exists() and not path.is_file()):
        return  # a pipe can be read once
    try:
        with path.open("rb") as file:
            format_of(file.read(HEAD_BYTES), path.stat().st_size, str(path))
    except OSError as error:
        raise CheckpointUnreadable(f"{str(path)!r} cannot be read: {error.strerror or error}.") from error


def _file_in(directory: Path) -> Path:
    for name in FILE_NAMES:
        if (directory / name).is_file():
            return directory / name
    raise ModelNotFound(f"{str(directory)!r} holds no model; one of {', '.join(FILE_NAMES)} is needed.")

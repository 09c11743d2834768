"""Reads files of `torch.save`, tensors included, without torch's unpickler: no code in the file runs.

The format since torch 1.6 is a zip archive of uncompressed entries: `NAME/data.pkl`, which refers to the tensors'
storages, and `NAME/data/KEY`, their bytes.
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Mapping
from typing import IO, Any

import torch
from torch import Tensor

from streamer.errors import CheckpointUnreadable
from streamer.models.checkpoint.pickles import MAX_PICKLE_BYTES, Foreign, Global, Persistent, mapping_of, read_pickle
from streamer.models.places import MAX_BYTES

MAX_ENTRIES = 10_000
MAX_DIRECTORY_BYTES = 4 * 2**20

_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


class TorchFile:
    """A file of `torch.save`. `content` is its pickle, as returned by `read_pickle`; tensors are read on demand.

    Raises CheckpointUnreadable for a damaged or oversized file; `name` appears in messages.
    """

    def __init__(self, file: IO[bytes], name: str) -> None:
        self.name = name
        try:
            # A ZipFile reads the archive's directory at once, whatever length it declares.
            self._archive = zipfile.ZipFile(guarded := _Guarded(file, MAX_DIRECTORY_BYTES))
            guarded.limit = MAX_BYTES
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise CheckpointUnreadable(
                f"{name!r} is truncated or damaged ({error}); fetch or copy the file again."
            ) from error
        self._entries = self._checked_entries()
        pickles = [entry for entry in self._entries if entry.endswith("/data.pkl") and entry.count("/") == 1]
        if len(pickles) != 1:
            raise CheckpointUnreadable(f"{name!r} is a zip archive, but torch.save did not write it (no data.pkl).")
        self._root = pickles[0].removesuffix("data.pkl")
        if self._root + "byteorder" in self._entries and self._read(self._root + "byteorder", 16) != b"little":
            raise CheckpointUnreadable(f"{name!r} was written on a big-endian machine, which is not supported.")
        self._storages: dict[str, Tensor] = {}
        self._bytes_read = self._bytes_given = 0
        self.content = read_pickle(self._read(pickles[0], MAX_PICKLE_BYTES), name)

    def tensors(self, values: Any) -> dict[str, Tensor]:
        """The tensors among the values of a dictionary in `content`, copied out of the file, by name."""
        return {
            key: self._tensor(key, made)
            for key, value in mapping_of(values).items()
            if isinstance(key, str) and (made := _tensor_arguments(value)) is not None
        }

    def _checked_entries(self) -> Mapping[str, zipfile.ZipInfo]:
        entries = self._archive.infolist()
        if len(entries) > MAX_ENTRIES:
            raise CheckpointUnreadable(
                f"{self.name!r} has {len(entries):,} entries; a checkpoint has up to {MAX_ENTRIES:,}."
            )
        total = sum(entry.file_size for entry in entries)
        if total > MAX_BYTES:
            raise CheckpointUnreadable(
                f"{self.name!r} unpacks to {total:,} bytes, more than the limit of {MAX_BYTES:,}."
            )
        for entry in entries:
            # torch stores entries uncompressed. A compressed entry comes from another program, and may be a zip bomb.
            if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
                raise CheckpointUnreadable(
                    f"{self.name!r}: {entry.filename!r} is compressed, which torch.save never does; "
                    "it is not safe to read."
                )
        return {entry.filename: entry for entry in entries}

    def _read(self, entry: str, limit: int) -> bytes:
        info = self._entries.get(entry)
        if info is None:
            raise CheckpointUnreadable(f"{self.name!r}: its entry {entry!r} is missing; the file is damaged.")
        if info.file_size > limit:
            raise CheckpointUnreadable(
                f"{self.name!r}: {entry!r} has {info.file_size:,} bytes; the limit is {limit:,}."
            )
        try:
            with self._archive.open(info) as file:
                data = file.read(limit + 1)
        except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
            raise CheckpointUnreadable(
                f"{self.name!r}: {entry!r} cannot be read ({error}); the file is damaged."
            ) from error
        if len(data) != info.file_size:
            raise CheckpointUnreadable(f"{self.name!r}: {entry!r} is cut short; the file is truncated.")
        return data

    def _tensor(self, key: str, made: tuple[Any, ...]) -> Tensor:
        try:
            reference, offset, size, stride = made[:4]
            kind, storage_type, storage_key, _, count = reference.id
            integers = [offset, count, *size, *stride]
            if kind != "storage" or not all(type(value) is int and value >= 0 for value in integers):
                raise ValueError("its shape is not made of integers")
            if len(size) != len(stride):
                raise ValueError("its shape and strides differ in length")
            last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
            if math.prod(size) > count or (math.prod(size) and last >= count):
                raise ValueError("it reaches beyond its storage")
            dtype = _DTYPES[storage_type.name]
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            raise CheckpointUnreadable(f"{self.name!r}: the tensor {key!r} is damaged ({error}).") from error
        # Many tensors may share one storage, and each is copied.
        self._bytes_given += math.prod(size) * dtype.itemsize
        if self._bytes_given > MAX_BYTES:
            raise CheckpointUnreadable(f"{self.name!r}: its tensors have more than {MAX_BYTES:,} bytes in all.")
        storage = self._storage(str(storage_key), dtype, count)
        return storage.as_strided(size, stride, offset).clone()

    def _storage(self, key: str, dtype: torch.dtype, count: int) -> Tensor:
        if key not in self._storages:
            # Entries may overlap in the archive, so the declared total says little: count the bytes that are read.
            data = self._read(f"{self._root}data/{key}", MAX_BYTES - self._bytes_read)
            self._bytes_read += len(data)
            self._storages[key] = torch.frombuffer(bytearray(data or b"\0"), dtype=torch.uint8)[: len(data)]
        storage = self._storages[key]
        if storage.numel() != count * dtype.itemsize:
            raise CheckpointUnreadable(
                f"{self.name!r}: storage {key} has {storage.numel():,} bytes, {count:,} values of {dtype} have "
                f"{count * dtype.itemsize:,}; the file is damaged."
            )
        return storage.view(dtype)


class _Guarded:
    """A binary file that returns no more than `limit` bytes in one read."""

    def __init__(self, file: IO[bytes], limit: int) -> None:
        self._file, self.limit = file, limit
        self._size = file.seek(0, os.SEEK_END)

    def read(self, count: int = -1) -> bytes:
        wanted = self._size - self._file.tell() if count < 0 else count
        if wanted > self.limit:
            raise zipfile.BadZipFile(f"{wanted:,} bytes to read at once, where {self.limit:,} are the limit")
        return self._file.read(count)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


def _tensor_arguments(value: Any) -> tuple[Any, ...] | None:
    """The arguments of torch's rebuild function for a tensor or a parameter, None for anything else."""
    if not isinstance(value, Foreign) or not isinstance(value.cls, Global) or not isinstance(value.args, tuple):
        return None
    if value.cls.module != "torch._utils" or not value.args:
        return None
    if value.cls.name == "_rebuild_parameter" and value.args[0] is not value:
        inner = value.args[0]
        return _tensor_arguments(inner) if isinstance(inner, Foreign) and inner.cls != value.cls else None
    if value.cls.name in ("_rebuild_tensor", "_rebuild_tensor_v2") and isinstance(value.args[0], Persistent):
        return value.args
    return None

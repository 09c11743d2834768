"""Random access to the bytes of a file, and files that are spliced from them."""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from typing import IO

import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.float32]

#: Bytes to search at a time.
BLOCK = 1 << 20

Splice = bytes | tuple[int, int]


class Bytes:
    """Random access to a seekable binary file. Do not rely on the position of the underlying file."""

    def __init__(self, file: IO[bytes], name: str = "audio stream") -> None:
        self.file, self.name = file, name
        self._length = file.seek(0, os.SEEK_END)
        self._start = 0
        self._held = b""

    def __len__(self) -> int:
        return self._length

    def at(self, start: int, count: int) -> bytes:
        """The bytes [start, start + count), fewer at the end of the file."""
        if not self._start <= start <= start + count <= self._start + len(self._held):
            self._held = self._read(start, max(count, 1 << 16))
            self._start = start
        begin = start - self._start
        return self._held[begin : begin + count]

    def _read(self, start: int, count: int) -> bytes:
        self.file.seek(start)
        taken = []
        while count > 0 and (block := self.file.read(count)):
            taken.append(block)
            count -= len(block)
        return b"".join(taken)

    def blocks(self, start: int, end: int, overlap: int = 0) -> Iterator[tuple[int, bytes]]:
        """[start, end) in blocks with their positions, each with the first `overlap` bytes of the next."""
        for place in range(start, end, BLOCK):
            yield place, self._read(place, min(BLOCK + overlap, end - place))

    def find(self, pattern: bytes, start: int, end: int | None = None) -> int:
        """The first position of `pattern` at or after `start`; -1 if there is none."""
        for place, block in self.blocks(start, len(self) if end is None else end, len(pattern) - 1):
            if (found := block.find(pattern)) >= 0:
                return place + found
        return -1


@dataclass(frozen=True, slots=True)
class Part:
    """One recording in a file.

    start, end: its range in the file. splices: the part as a separate file: ranges [start, end) of the original file,
    and bytes that replace others. lost: the error to report after reading all of it, because more was announced. whole:
    whether the file itself is this part. gap_s: seconds that are missing before it, by the time stamps of the
    container.
    """

    start: int
    end: int
    splices: tuple[Splice, ...]
    whole: bool = False
    lost: str | None = None
    gap_s: float = 0.0

    @classmethod
    def of(cls, data: Bytes, start: int, end: int, lost: str | None = None) -> Part:
        """A range of the file, unchanged."""
        return cls(start, end, ((start, end),), start == 0 and end == len(data), lost)


class Spliced(io.RawIOBase):
    """A readable file, spliced from ranges of another, and from bytes."""

    def __init__(self, data: Bytes, splices: tuple[Splice, ...]) -> None:
        self._data = data
        self._splices = [splice for splice in splices if _length(splice)]
        self._ends = list(accumulate(map(_length, self._splices)))
        self._position = 0

    @property
    def name(self) -> str:
        return self._data.name

    def __repr__(self) -> str:
        return repr(self.name)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position}.get(whence, self._ends[-1] if self._ends else 0)
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        taken = self._take(len(buffer))
        buffer[: len(taken)] = taken
        return len(taken)

    def _take(self, count: int) -> bytes:
        taken = b""
        while count > 0 and self._ends and self._position < self._ends[-1]:
            place = bisect_right(self._ends, self._position)
            splice = self._splices[place]
            inside = self._position - (self._ends[place - 1] if place else 0)
            size = min(count, _length(splice) - inside)
            part = (
                splice[inside : inside + size] if isinstance(splice, bytes) else self._data.at(splice[0] + inside, size)
            )
            if not part:
                break
            taken += part
            self._position += len(part)
            count -= len(part)
        return taken


def _length(splice: Splice) -> int:
    return len(splice) if isinstance(splice, bytes) else splice[1] - splice[0]


def rewind(file: IO[bytes] | None) -> None:
    """Rewind a caller's file object, so that it can be read again."""
    if file is not None:
        with suppress(ValueError, OSError):  # closed in the meantime
            file.seek(0)

"""Apple's CAF, and Sony's Wave64: formats with sizes of 64 bits, which can be wrong just as sizes of 32 bits."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from streamer.audio.parts.raw import Bytes, Part
from streamer.audio.parts.sniff import kind_of

W64 = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
#: The data chunk begins with an edit count.
EDIT_BYTES = 4


def parts(data: Bytes, start: int) -> Iterator[Part]:
    """The CAF at `start`, up to the start of another file or the end."""
    place = start + 8
    while place + 12 <= len(data):
        name, size = struct.unpack(">4sq", data.at(place, 12))
        if name == b"data":
            break
        if size < 0:
            return
        place += 12 + size
    else:
        return
    begin = place + 12
    if size == -1:  # unknown: it extends to the end
        yield Part.of(data, start, len(data))
    elif begin + size > len(data):
        lost = f"{len(data) - begin} of the {size} bytes of audio it announces are there"
        yield Part.of(data, start, len(data), lost)
    else:
        end = begin + max(size, EDIT_BYTES)
        while end < len(data) and kind_of(data.at(end, 64)) is None and _is_chunk(data, end):
            end += 12 + int(struct.unpack(">q", data.at(end + 4, 8))[0])
        if end == len(data) or kind_of(data.at(end, 64)) is not None:
            yield Part.of(data, start, end)
        else:
            true = struct.pack(">4sq", b"data", len(data) - begin)
            yield Part(start, len(data), ((start, place), true, (begin, len(data))))


def _is_chunk(data: Bytes, place: int) -> bool:
    head = data.at(place, 12)
    if len(head) < 12 or not all(32 <= letter < 127 for letter in head[:4]):
        return False
    return 0 <= int(struct.unpack(">q", head[4:])[0]) <= len(data) - place - 12


def w64_parts(data: Bytes, start: int) -> Iterator[Part]:
    """The Wave64 at `start`, up to the next one: libsndfile reads to the end by itself."""
    end = data.find(W64, start + len(W64))
    yield Part.of(data, start, end if end >= 0 else len(data))

"""Files for FFmpeg: MP4 (ISO/IEC 14496-12), FLV, and Matroska or WebM (RFC 9559), parsed just enough to find their
ends.

FFmpeg reads the first of several joined files, or the first two, and takes a truncated file for a shorter one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from streamer.audio.parts.raw import Bytes, Part

FLV = b"FLV\x01"
SEGMENT, EBML = 0x1853_8067, 0x1A45_DFA3


def mp4_parts(data: Bytes, start: int) -> Iterator[Part]:
    """The MP4 at `start`, up to the next `ftyp` after its `moov`."""
    place, described, lost = start, False, None
    while place + 8 <= len(data):
        size, name = struct.unpack(">I4s", data.at(place, 8))
        if size == 1:
            size = int.from_bytes(data.at(place + 8, 8), "big")
        elif size == 0:
            size = len(data) - place
        if size < 8 or not all(32 <= letter < 127 or letter == 0xA9 for letter in name):
            break
        if name == b"ftyp" and described:
            yield Part.of(data, start, place)
            return
        described |= name == b"moov"
        if place + size > len(data):
            lost = f"{len(data) - place} of the {size} bytes of its {name.decode('latin-1')!r} box are there"
        place += size
    yield Part.of(data, start, len(data), lost)


def flv_parts(data: Bytes, start: int) -> Iterator[Part]:
    """The FLV at `start`, up to the next one."""
    place = start + 4
    while (place := data.find(FLV, place)) >= 0:
        if data.at(place + 5, 4) == b"\0\0\0\x09":
            break
        place += 1
    yield Part.of(data, start, place if place >= 0 else len(data))


def matroska_parts(data: Bytes, start: int) -> Iterator[Part]:
    """The Matroska or WebM at `start`, up to the next one. A truncated segment is reported."""
    place = start
    while place + 2 <= len(data):
        name, length = _number(data, place, keep_marker=True)
        size, wide = _number(data, place + length, keep_marker=False)
        if name == EBML and place > start:
            yield Part.of(data, start, place)
            return
        if length == 0 or wide == 0 or size == (1 << 7 * wide) - 1:  # unknown: it was written while recording
            break
        content, place = place + length + wide, place + length + wide + size
        if name == SEGMENT and place > len(data):
            if (following := _next_matroska(data, content)) < len(data):
                yield Part.of(data, start, following)
                return
            lost = f"the last {place - len(data)} bytes of its segment of {size} are not there"
            yield Part.of(data, start, len(data), lost)
            return
    yield Part.of(data, start, _next_matroska(data, place) if place < len(data) else len(data))


def _next_matroska(data: Bytes, place: int) -> int:
    """The start of the next file at or after `place`, or the end."""
    magic = EBML.to_bytes(4, "big")
    while (place := data.find(magic, place)) >= 0:
        head = data.at(place, 64)
        if b"webm" in head or b"matroska" in head:
            return place
        place += 1
    return len(data)


def _number(data: Bytes, place: int, *, keep_marker: bool) -> tuple[int, int]:
    """An EBML number, and its length in bytes: 0 if there is none."""
    head = data.at(place, 8)
    if not head or head[0] == 0:
        return 0, 0
    wide = 9 - head[0].bit_length()
    value = int.from_bytes(head[:wide], "big")
    return (value if keep_marker else value & (1 << 7 * wide) - 1), wide

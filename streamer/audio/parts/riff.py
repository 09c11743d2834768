"""WAV, RF64, BW64 and RIFX: https://www.aelius.com/njh/wavemetatools/doc/riffmci.pdf, EBU Tech 3306 (RF64)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from streamer.audio.parts.raw import Bytes, Part, Splice
from streamer.audio.parts.sniff import kind_of
from streamer.errors import AudioUnreadable

#: Sizes from here on mean "not yet known" in the header of a WAV that was written to a pipe.
PLACEHOLDER_BYTES = 0x7FFF_0000
LARGEST = 0xFFFF_FFFF
#: Fewer bytes after the last chunk count as padding.
PADDING = 4096
ID3V1 = 128


def parts(data: Bytes, start: int) -> Iterator[Part]:
    """The WAV at `start`, up to the start of another file or the end."""
    order = ">" if data.at(start, 4) == b"RIFX" else "<"
    form, wide_size, announced, place = b"", LARGEST, -1, start
    for name, size, place in _chunks(data, start + 12, order):
        if name == b"ds64":
            wide_size = struct.unpack("<QQ", data.at(place, 16).ljust(16, b"\0"))[1]
        elif name == b"fmt ":
            form = data.at(place - 8, size + 8)
        elif name == b"data":
            announced = wide_size if size == LARGEST else size
            break
    if announced < 0 or len(form) < 24:
        return
    present = len(data) - place
    unknown = announced > present and (announced >= 1 << 62 or PLACEHOLDER_BYTES <= announced <= LARGEST)
    if announced > present and not unknown:
        # Truncated: the log of libsndfile reports both numbers.
        yield Part.of(data, start, len(data), f"{present} of the {announced} bytes of audio it announces are there")
        return
    if unknown:
        end = _next_file(data, place)
        ranges = [(place, end)]
    else:
        frame_bytes = max(1, struct.unpack(order + "H", form[20:22])[0])
        ranges, end = _after(data, (place, place + announced), order, frame_bytes)
    known_to_libsndfile = unknown and end == len(data) and start == 0 and wide_size == LARGEST
    if ranges == [(place, place + announced)] or known_to_libsndfile:
        yield Part.of(data, start, end)
    else:
        yield Part(start, end, (*_header(order, form, ranges), *ranges))


def _next_file(data: Bytes, place: int) -> int:
    """The start of another WAV, or the end: for audio of unknown length."""
    while (place := data.find(b"WAVEfmt ", place)) >= 0:
        if data.at(place - 8, 4) in (b"RIFF", b"RF64", b"RIFX"):
            return place - 8
        place += 1
    return len(data)


def _chunks(data: Bytes, place: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Name, size and content position of each chunk, up to the first that is not a valid chunk."""
    while place + 8 <= len(data):
        name, size = struct.unpack(order + "4sI", data.at(place, 8))
        if not all(32 <= letter < 127 for letter in name):
            return
        yield name, size, place + 8
        place += 8 + size + size % 2


def _after(data: Bytes, audio: tuple[int, int], order: str, frame_bytes: int) -> tuple[list[tuple[int, int]], int]:
    """The ranges of all audio, and the end of this file, from what follows the announced audio.

    Chunks up to the end of the file, or up to another file, are normal; further data chunks among them are audio too.
    Anything else is audio beyond the size in the header.
    """
    ranges, place = [audio], audio[1]
    known = False
    while place < len(data):
        if kind_of(data.at(place, 64)) is not None:
            return ranges, place
        if place % 2 != audio[0] % 2:  # the padding byte of an odd chunk size
            if kind_of(data.at(place + 1, 64)) is not None:
                return ranges, place + 1
            if place + 1 >= len(data) or _is_chunk(data, place + 1, order):
                place += 1
                continue
        if not _is_chunk(data, place, order):
            break
        name, size = struct.unpack(order + "4sI", data.at(place, 8))
        if name == b"data":
            ranges.append((place + 8, place + 8 + size))
        known, place = True, place + 8 + size
    rest = len(data) - place
    if rest == ID3V1 and data.at(place, 3) == b"TAG":
        return ranges, len(data)
    if known and rest > PADDING and data.at(place, PADDING).strip(b"\0"):
        raise AudioUnreadable(
            f"{data.name!r} has {rest} bytes after its last chunk, at byte {place}, that belong to nothing; "
            "cut them off, or convert the file with the program that wrote it."
        )
    if not known and rest >= frame_bytes:
        end = _next_file(data, place)
        tag = ID3V1 if end == len(data) and data.at(end - ID3V1, 3) == b"TAG" else 0
        return [(audio[0], end - tag)], end
    return ranges, len(data)


def _is_chunk(data: Bytes, place: int, order: str) -> bool:
    head = data.at(place, 8)
    if len(head) < 8 or not all(32 <= letter < 127 for letter in head[:4]):
        return False
    return place + 8 + int(struct.unpack(order + "I", head[4:])[0]) <= len(data)


def _header(order: str, form: bytes, ranges: list[tuple[int, int]]) -> list[Splice]:
    """A correct header for the audio in these ranges."""
    size = sum(end - begin for begin, end in ranges)
    form += b"\0" * (len(form) % 2)
    total = 4 + len(form) + 8 + size
    if total <= LARGEST - 64:
        name = b"RIFX" if order == ">" else b"RIFF"
        return [struct.pack(order + "4sI4s", name, total, b"WAVE") + form + struct.pack(order + "4sI", b"data", size)]
    wide = struct.pack("<4sIQQQI", b"ds64", 28, total + 36, size, 0, 0)
    return [struct.pack("<4sI4s", b"RF64", LARGEST, b"WAVE") + wide + form + struct.pack("<4sI", b"data", LARGEST)]

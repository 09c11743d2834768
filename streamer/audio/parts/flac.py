"""FLAC (RFC 9639): the end of each stream in a file, and its true number of samples.

STREAMINFO has the number of samples, which is 0 if the encoder wrote to a pipe. The last frame has its own
position. It is searched for from the end, and recognised by its two checksums.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache

from streamer.audio.parts.mpeg import tag_bytes
from streamer.audio.parts.raw import Bytes, Part

MAGIC = b"fLaC"
STREAMINFO_BYTES = 34
#: The format allows larger frames, but no encoder writes one.
TAIL = 1 << 19
ID3V1 = 128


def parts(data: Bytes, start: int) -> Iterator[Part]:
    """The FLAC stream at `start`, up to the next one or the end."""
    info = data.at(start + 8, STREAMINFO_BYTES)
    if data.at(start + 4, 1)[0] & 0x7F != 0 or len(info) < STREAMINFO_BYTES:
        return
    audio = _after_metadata(data, start)
    end = _next_stream(data, audio)
    announced = int.from_bytes(info[13:18], "big") & 0xF_FFFF_FFFF
    stop = _without_tag(data, audio, end)
    counted = _count(data, audio, stop, info, announced)
    if counted is None or counted == announced:
        # Unknown: the length is right, or libFLAC reports the error.
        yield Part.of(data, start, end)
        return
    count, complete = counted if isinstance(counted, tuple) else (counted, True)
    lost = None
    if count < announced:
        lost = f"{count} of the {announced} samples it announces are there"
    elif not complete:
        lost = f"its last frame, after {count} samples, is not whole"
    total = (int.from_bytes(info[13:18], "big") & ~0xF_FFFF_FFFF | count).to_bytes(5, "big")
    yield Part(start, end, ((start, start + 21), total, (start + 26, stop)), lost=lost)


def _after_metadata(data: Bytes, start: int) -> int:
    place = start + 4
    while place + 4 <= len(data):
        head = data.at(place, 4)
        place += 4 + int.from_bytes(head[1:4], "big")
        if head[0] & 0x80:
            break
    return place


def _without_tag(data: Bytes, audio: int, end: int) -> int:
    """The end of the audio: before an ID3 tag at the end, of either version."""
    if data.at(max(audio, end - ID3V1), 3) == b"TAG":
        end = max(audio, end - ID3V1)
    begin = max(audio, end - TAIL)
    tail = data.at(begin, end - begin)
    place = len(tail)
    while (place := tail.rfind(b"ID3", 0, place)) >= 0:
        if len(tail) - place >= 10 and place + 10 + tag_bytes(tail[place : place + 10]) == len(tail):
            return begin + place
    return end


def _next_stream(data: Bytes, place: int) -> int:
    while (place := data.find(MAGIC, place)) >= 0:
        head = data.at(place, 8)
        if len(head) == 8 and head[4] & 0x7F == 0 and head[5:8] == b"\0\0\x22":
            return place
        place += 1
    return len(data)


def _count(data: Bytes, audio: int, end: int, info: bytes, announced: int) -> int | tuple[int, bool] | None:
    """The number of samples, from the last frame; with False if that frame is damaged, and not counted. If the last
    frame is the announced one, libFLAC decides whether it is complete, or other bytes follow it."""
    begin = max(audio, end - TAIL)
    tail = data.at(begin, end - begin)
    smallest, largest = struct.unpack(">HH", info[:4])
    place = len(tail)
    newest: tuple[int, int] | None = None
    while (place := tail.rfind(b"\xff", 0, place)) >= 0:
        frame = _frame(tail, place, smallest if smallest == largest else 0)
        if frame is None:
            continue
        if _crc16(tail[place:-2]) == int.from_bytes(tail[-2:], "big"):
            return sum(frame)
        if sum(frame) == announced:
            return announced
        # Truncated within this frame, or bytes that only look like a header: whichever comes after a whole frame.
        if newest is None:
            newest = (place, frame[0])
        elif frame[0] < newest[1] and _crc16(tail[place : newest[0] - 2]) == int.from_bytes(
            tail[newest[0] - 2 : newest[0]], "big"
        ):
            return sum(frame), False
        elif frame[0] < newest[1]:
            newest = (place, frame[0])
    return None


def _frame(tail: bytes, place: int, fixed: int) -> tuple[int, int] | None:
    """First sample and number of samples of the frame with its header at this place; None if there is no header."""
    if len(tail) - place < 6 or tail[place + 1] not in (0xF8, 0xF9) or tail[place + 3] & 1:
        return None
    variable = tail[place + 1] & 1
    size_code, rate_code = tail[place + 2] >> 4, tail[place + 2] & 15
    number, at = _coded_number(tail, place + 4)
    if number is None or size_code == 0 or rate_code == 15:
        return None
    if size_code in (6, 7):
        wide = size_code - 5
        size = int.from_bytes(tail[at : at + wide], "big") + 1
        at += wide
    else:
        size = 192 if size_code == 1 else 576 << (size_code - 2) if size_code < 6 else 256 << (size_code - 8)
    at += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if at >= len(tail) or _crc8(tail[place:at]) != tail[at]:
        return None
    return (number if variable else number * (fixed or size)), size


def _coded_number(tail: bytes, place: int) -> tuple[int | None, int]:
    """A number in the coding that UTF-8 uses for characters, up to 36 bits."""
    first = tail[place]
    if first < 0x80:
        return first, place + 1
    more = 8 - (first ^ 0xFF).bit_length() - 1
    if not 1 <= more <= 6 or place + 1 + more > len(tail):
        return None, place
    number = first & (0x3F >> more)
    for byte in tail[place + 1 : place + 1 + more]:
        if byte & 0xC0 != 0x80:
            return None, place
        number = number << 6 | byte & 0x3F
    return number, place + 1 + more


def _crc8(content: bytes) -> int:
    value = 0
    for byte in content:
        value = _table(8, 0x07)[value ^ byte]
    return value


def _crc16(content: bytes) -> int:
    value, table = 0, _table(16, 0x8005)
    for byte in content:
        value = (value << 8 & 0xFFFF) ^ table[value >> 8 ^ byte]
    return value


@cache
def _table(bits: int, polynomial: int) -> tuple[int, ...]:
    rows = []
    for byte in range(256):
        value = byte << (bits - 8)
        for _ in range(8):
            value = (value << 1 ^ (polynomial if value >> (bits - 1) & 1 else 0)) & ((1 << bits) - 1)
        rows.append(value)
    return tuple(rows)

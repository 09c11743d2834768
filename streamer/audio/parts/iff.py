"""AIFF and AIFC (Apple, 1989 and 1991), and Sun's AU."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from streamer.audio.parts.raw import Bytes, Part
from streamer.audio.parts.riff import LARGEST, PLACEHOLDER_BYTES
from streamer.audio.parts.sniff import kind_of
from streamer.errors import AudioUnreadable

#: Compression types that determine the bytes of a sample, in place of the sample size.
LAW = {b"ulaw", b"alaw", b"ULAW", b"ALAW"}
PCM = {b"", b"NONE", b"sowt", b"twos", b"in24", b"in32", b"42ni", b"23ni", b"fl32", b"FL32", b"fl64", b"FL64", b"raw "}


def aiff_parts(data: Bytes, start: int) -> Iterator[Part]:
    """The AIFF at `start`, up to the start of another file or the end."""
    place, common = start + 12, b""
    while place + 8 <= len(data):
        name, size = struct.unpack(">4sI", data.at(place, 8))
        if name == b"COMM":
            common = data.at(place + 8, size)
        if name == b"SSND":
            break
        place += 8 + size + size % 2
    else:
        return
    if len(common) < 18:
        return
    channels, frames, bits = struct.unpack(">hIh", common[:8])
    kind = common[18:22] if data.at(start + 8, 4) == b"AIFC" else b""
    frame_bytes = channels * (1 if kind in LAW else (bits + 7) // 8)
    offset = struct.unpack(">I", data.at(place + 8, 4).ljust(4, b"\0"))[0]
    begin, announced = place + 16 + offset, max(0, size - 8 - offset)
    present = len(data) - begin
    unknown = size >= PLACEHOLDER_BYTES and announced > present
    if announced > present and not unknown:
        yield Part.of(data, start, len(data), f"{present} of the {announced} bytes of audio it announces are there")
        return
    end, audio_end = _aiff_end(data, begin, announced, present if unknown else None)
    if kind not in PCM | LAW or frame_bytes <= 0:
        if audio_end != begin + announced:
            raise AudioUnreadable(
                f"{data.name!r} announces {announced} bytes of audio, and {audio_end - begin} are there; convert it "
                "with the program that wrote it."
            )
        yield Part.of(data, start, end)
        return
    count = (audio_end - begin) // frame_bytes
    if count == frames and audio_end == begin + announced:
        yield Part.of(data, start, end)
        return
    common = common[:2] + struct.pack(">I", count) + common[6:]
    body = struct.pack(">4sI", b"COMM", len(common)) + common + b"\0" * (len(common) % 2)
    sound = struct.pack(">4sIII", b"SSND", 8 + audio_end - begin, 0, 0)
    total = 4 + len(body) + len(sound) + audio_end - begin
    header = struct.pack(">4sI", b"FORM", min(total, LARGEST)) + data.at(start + 8, 4) + body + sound
    yield Part(start, end, (header, (begin, audio_end)))


def _aiff_end(data: Bytes, begin: int, announced: int, open_end: int | None) -> tuple[int, int]:
    """The end of this file, and the end of its audio."""
    if open_end is not None:
        return len(data), begin + open_end
    place = begin + announced
    while place < len(data):
        if kind_of(data.at(place, 64)) is not None:
            return place, begin + announced
        head = data.at(place, 8)
        odd = (place - begin) % 2
        if odd and (place + 1 >= len(data) or _is_chunk(data, place + 1) or kind_of(data.at(place + 1, 64))):
            place += 1
        elif _is_chunk(data, place):
            place += 8 + int(struct.unpack(">I", head[4:])[0])
        elif place == begin + announced:
            return len(data), len(data)
        else:
            break
    return len(data), begin + announced


def _is_chunk(data: Bytes, place: int) -> bool:
    head = data.at(place, 8)
    if len(head) < 8 or not all(32 <= letter < 127 for letter in head[:4]):
        return False
    return place + 8 + int(struct.unpack(">I", head[4:])[0]) <= len(data)


def au_parts(data: Bytes, start: int) -> Iterator[Part]:
    """The AU at `start`. Only audio follows its header: the rest is audio, or another file."""
    header = data.at(start, 24)
    if len(header) < 24:
        return
    offset, announced = struct.unpack(">II", header[4:12])
    begin = start + offset
    present = len(data) - begin
    if present < announced < PLACEHOLDER_BYTES:
        yield Part.of(data, start, len(data), f"{present} of the {announced} bytes of audio it announces are there")
        return
    end = min(begin + announced, len(data))
    if end < len(data) and kind_of(data.at(end, 64)) is None:
        end = len(data)
    if end - begin == announced:
        yield Part.of(data, start, end)
        return
    true = header[:8] + struct.pack(">I", min(end - begin, LARGEST)) + header[12:]
    yield Part(start, end, (true, (start + 24, end)))

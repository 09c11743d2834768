"""MPEG audio, layer III: the frames are counted, so a Xing header with too small a number does no harm.

Without a Xing header, libmpg123 guesses the length of a file from its first frame, and libsndfile stops there.
http://www.mp3-tech.org/programmer/frame_header.html
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from streamer.audio.parts.raw import Bytes, Part, Splice

RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
KBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
KBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
#: Header bits that must be the same within one stream: version, layer, rate.
SAME = 0xFFFE_0C00
MONO = 0xC0
XING = (b"Xing", b"Info")
FRAMES_FLAG = 1
ID3V1 = 128


@dataclass(slots=True)
class _Run:
    """Frames that belong together. xing: the frame that describes them, with its announced number."""

    start: int
    header: int
    xing: bytes = b""
    announced: int = 0
    frames: int = 0
    ranges: list[list[int]] = field(default_factory=list)
    last: int = 0

    def add(self, place: int, size: int) -> None:
        self.frames, self.last = self.frames + 1, size
        if self.ranges and self.ranges[-1][1] == place:
            self.ranges[-1][1] = place + size
        else:
            self.ranges.append([place, place + size])


def frame_at(head: bytes, place: int) -> tuple[int, int] | None:
    """Header and length in bytes of the layer III frame with its header at this place; None if there is none."""
    if len(head) - place < 4:
        return None
    header = int(struct.unpack(">I", head[place : place + 4])[0])
    version, layer, kbits, rate = header >> 19 & 3, header >> 17 & 3, header >> 12 & 15, header >> 10 & 3
    if header >> 21 != 0x7FF or version == 1 or layer != 1 or kbits in (0, 15) or rate == 3 or header & 3 == 2:
        return None
    per_second = 1000 * (KBITS_1 if version == 3 else KBITS_2)[kbits]
    return header, (144 if version == 3 else 72) * per_second // RATES[version][rate] + (header >> 9 & 1)


def tag_bytes(head: bytes) -> int:
    """The length of the content of an ID3 tag, from its first 10 bytes."""
    return (head[6] & 127) << 21 | (head[7] & 127) << 14 | (head[8] & 127) << 7 | head[9] & 127


def parts(data: Bytes, start: int) -> Iterator[Part]:
    """All of the MP3 from `start` on: a part for each Xing header, and for each change of rate or channels."""
    runs = list(_runs(data, start))
    if not runs:
        return
    if len(runs) == 1 and runs[0].xing and runs[0].announced == runs[0].frames and start == 0:
        yield Part.of(data, start, len(data))
        return
    ends = [run.start for run in runs[1:]] + [len(data)]
    for run, end in zip(runs, ends, strict=True):
        short = run.ranges[-1][1] - len(data)
        lost = None
        if run.announced > run.frames or short > 0:
            announced = max(run.announced, run.frames)
            whole = run.frames - (short > 0)
            lost = f"{whole} of the {announced} frames it announces are whole"
        yield Part(run.start, end, tuple(_splices(run, len(data))), lost=lost)


def _runs(data: Bytes, place: int) -> Iterator[_Run]:
    run: _Run | None = None
    lost = False
    while place + 4 <= len(data):
        head = data.at(place, 10)
        if head[:3] == b"ID3" and len(head) == 10:
            place += 10 + tag_bytes(head)
            continue
        if head[:3] == b"TAG" and len(data) - place == ID3V1:
            break
        found = frame_at(head, 0)
        trusted = run is not None and not lost
        if found is None or not (trusted or _followed(data, place, *found)):
            lost = True
            if (place := data.find(b"\xff", place + 1)) < 0 and (place := data.find(b"ID3", place + 1)) < 0:
                break
            continue
        lost = False
        header, size = found
        frame = data.at(place, size)
        xing = _xing(frame, header)
        changed = run is not None and ((run.header ^ header) & SAME or _mono(run.header) != _mono(header))
        if run is None or xing is not None or changed:
            if run is not None and run.frames:
                yield run
            run = _Run(place, header)
        if xing is not None:
            run.xing, run.announced = frame, _announced(frame, xing)
        else:
            run.add(place, size)
        place += size
    if run is not None and run.frames:
        yield run


def _mono(header: int) -> bool:
    return header & MONO == MONO


def _followed(data: Bytes, place: int, header: int, size: int) -> bool:
    """Whether another frame of the same stream follows, or the end."""
    after = data.at(place + size, 4)
    following = frame_at(after, 0)
    return place + size >= len(data) or (following is not None and not (following[0] ^ header) & SAME)


def _xing(frame: bytes, header: int) -> int | None:
    """The place of a frame's Xing header, if it has one and so holds no audio."""
    mono, version = _mono(header), header >> 19 & 3
    side = (17 if mono else 32) if version == 3 else (9 if mono else 17)
    place = 4 + side
    if frame[place : place + 4] in XING:
        return place
    return 36 if frame[36:40] == b"VBRI" else None


def _announced(frame: bytes, place: int) -> int:
    if frame[place : place + 4] == b"VBRI":
        return int.from_bytes(frame[place + 14 : place + 18], "big")
    flags = int.from_bytes(frame[place + 4 : place + 8], "big")
    return int.from_bytes(frame[place + 8 : place + 12], "big") if flags & FRAMES_FLAG else 0


def _splices(run: _Run, length: int) -> Iterator[Splice]:
    """The frames alone, after a Xing header with their true number: the original one of the stream (it also has the
    padding of the encoder), or a new one."""
    place = _xing(run.xing, run.header) if run.xing else None
    if place is not None and run.xing[place : place + 4] in XING and run.announced:
        yield run.xing[: place + 8] + struct.pack(">I", run.frames) + run.xing[place + 12 :]
    else:
        yield _new_xing(run)
    for begin, end in run.ranges:
        yield (begin, min(end, length))


def _new_xing(run: _Run) -> bytes:
    """A frame with a Xing header that holds only the number of frames."""
    header = run.header | 0x1_0000  # without a checksum
    for kbits in range(1, 15):
        found = frame_at(struct.pack(">I", header & ~0xF200 | kbits << 12), 0)
        assert found is not None
        header, size = found
        mono, version = _mono(header), header >> 19 & 3
        side = (17 if mono else 32) if version == 3 else (9 if mono else 17)
        if size >= 4 + side + 16:
            content = struct.pack(">I", header) + bytes(side) + struct.pack(">4sII", b"Xing", FRAMES_FLAG, run.frames)
            return content.ljust(size, b"\0")
    raise AssertionError("a frame of the highest bit rate has room for a Xing header")

"""Ogg (RFC 3533): chained links, truncated pages, and pauses in Opus (RFC 7845).

libsndfile reads the first link of a chain only, and drops the gaps that the positions of the pages show.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from streamer.audio.opus import opus_duration
from streamer.audio.parts.raw import Bytes, Part, Splice
from streamer.audio.parts.sniff import kind_of

MAGIC = b"OggS"
HEAD_BYTES = 27
CONTINUED, FIRST = 1, 2
OPUS_RATE = 48_000
UNKNOWN = 0xFFFF_FFFF_FFFF_FFFF
#: A smaller difference between packets and page positions is no pause: the last packet may count as less than it holds.
TOLERANCE = OPUS_RATE // 20


@dataclass(frozen=True, slots=True)
class Page:
    start: int
    end: int
    flags: int
    position: int
    serial: int
    lacing: bytes
    body: int


def parts(data: Bytes, start: int) -> Iterator[Part]:
    """The link of a chain at `start`; more than one part if it has Opus pauses."""
    pages: list[Page] = []
    begun = False
    lost = None
    end = start
    for page in pages_of(data, start):
        if page.flags & FIRST and begun:
            break
        begun |= not page.flags & FIRST
        end = page.end
        if page.end > len(data):
            lost = f"{len(data) - page.start} of the {page.end - page.start} bytes of its last page are there"
            end = len(data)
            break
        pages.append(page)
    if not pages:
        return
    if kind_of(data.at(end, 64)) is None:
        end = len(data)
    yield from _opus(data, pages, start, end, lost) or [Part.of(data, start, end, lost)]


def pages_of(data: Bytes, place: int) -> Iterator[Page]:
    """The pages from `place` on; other bytes between them are skipped."""
    while place + HEAD_BYTES <= len(data):
        head = data.at(place, HEAD_BYTES)
        if head[:4] != MAGIC:
            if kind_of(data.at(place, 64)) is not None:
                return
            place = data.find(MAGIC, place)
            if place < 0:
                return
            continue
        flags, position, serial = struct.unpack("<BQI", head[5:18])
        lacing = data.at(place + HEAD_BYTES, head[26])
        body = place + HEAD_BYTES + head[26]
        yield Page(place, body + sum(lacing), flags, position, serial, lacing, body)
        place = body + sum(lacing)


@dataclass(slots=True)
class _Stretch:
    """Pages without a gap between them. gap_s: seconds before them."""

    gap_s: float
    pages: list[Page] = field(default_factory=list)


def _opus(data: Bytes, pages: list[Page], start: int, end: int, lost: str | None) -> list[Part]:
    """An Opus link as stretches between its gaps; an empty list without gaps, or if it is not Opus alone."""
    if data.at(pages[0].body, 8) != b"OpusHead" or len({page.serial for page in pages}) > 1:
        return []
    heads, rest = _headers(data, pages)
    stretches = [_Stretch(0.0)]
    due: int | None = None
    begun = b""
    for page in rest:
        samples, begun = _samples(data, page, begun)
        if page.position != UNKNOWN and samples:
            if due is not None and page.position - samples - due > TOLERANCE and not page.flags & CONTINUED:
                stretches.append(_Stretch((page.position - samples - due) / OPUS_RATE))
            due = page.position if due is None else max(due + samples, page.position)
        stretches[-1].pages.append(page)
    if len(stretches) == 1:
        return []
    found = []
    for number, stretch in enumerate(stretches):
        last = number == len(stretches) - 1
        kept = stretch.pages
        splices: list[Splice] = [(page.start, page.end) for page in [*heads, *kept]]
        begin, stop = (start if number == 0 else kept[0].start), (end if last else kept[-1].end)
        found.append(Part(begin, stop, tuple(splices), lost=lost if last else None, gap_s=stretch.gap_s))
    return found


def _headers(data: Bytes, pages: list[Page]) -> tuple[list[Page], list[Page]]:
    """The pages of OpusHead and OpusTags, and those of audio: the tags end with the first page after the head that
    completes a packet."""
    for number, page in enumerate(pages[1:], 2):
        if page.lacing and page.lacing[-1] < 255:
            return pages[:number], pages[number:]
    return pages, []


def _samples(data: Bytes, page: Page, begun: bytes) -> tuple[int, bytes]:
    """The duration of the packets that end on this page, at 48 kHz, and the first bytes of one that continues on the
    next.

    begun: the first bytes of the packet that the previous page left unfinished.
    """
    place, size, count = page.body, 0, 0
    for lace in page.lacing:
        size += lace
        if lace < 255:
            head = begun or data.at(place, min(size, 2))
            with suppress(ValueError):  # an impossible packet: the decoder will report it
                count += opus_duration(head)
            place, size, begun = place + size, 0, b""
    return count, begun or data.at(place, min(size, 2))

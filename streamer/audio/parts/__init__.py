"""How many recordings a file holds, and where each of them lies: what is read is never less than what is there.

A header tells what its writer knew when it wrote it. Files that were joined hold several headers; a recorder that
could not go back to its header, or wrote it after its first block, leaves a length of 0, of the largest number there
is, or of the first block alone. libsndfile believes the first header and says nothing of what follows. Here the bytes
are looked at as far as that needs: each part becomes a file of its own, spliced of ranges of the first and of headers
that are true.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from streamer.audio.parts import boxes, caf, flac, iff, mpeg, ogg, riff
from streamer.audio.parts.raw import Bytes, Part, Spliced
from streamer.audio.parts.sniff import kind_of

__all__ = ["Bytes", "Part", "Spliced", "parts_of"]

#: Kind of the first bytes -> the parts from a position on. A splitter ends where it does not know how to go on.
SPLITTERS: dict[str, Callable[[Bytes, int], Iterator[Part]]] = {
    "wav": riff.parts,
    "aiff": iff.aiff_parts,
    "au": iff.au_parts,
    "caf": caf.parts,
    "w64": caf.w64_parts,
    "flac": flac.parts,
    "ogg": ogg.parts,
    "mp3": mpeg.parts,
    "mp4": boxes.mp4_parts,
    "flv": boxes.flv_parts,
    "matroska": boxes.matroska_parts,
}

#: More parts than this are no recording that somebody joined.
MOST_PARTS = 10_000


def parts_of(data: Bytes, name: str) -> list[Part] | None:
    """The parts of a file, in order; None where it is one whole as it stands, or of a kind that is not looked into.

    name: what messages call the file. Raises AudioUnreadable for bytes that are there and belong to nothing.
    """
    data.name = name
    parts: list[Part] = []
    position = 0
    while position < len(data) and len(parts) < MOST_PARTS:
        try:
            place, kind = _kind(data, position)
            found = list(SPLITTERS[kind](data, place)) if kind in SPLITTERS else []
        except (struct.error, IndexError, ValueError, OverflowError):  # a damaged header is the decoder's to refuse
            return None
        if not found:
            break
        parts += found
        position = found[-1].end
    whole = len(parts) == 1 and parts[0].whole and parts[0].lost is None
    return None if not parts or whole else parts


def _kind(data: Bytes, position: int) -> tuple[int, str | None]:
    """Where the recording at `position` begins, and of what kind it is: an ID3 tag may stand before any of them."""
    place = position
    while (head := data.at(place, 10))[:3] == b"ID3" and len(head) == 10:
        place += 10 + mpeg.tag_bytes(head)
    kind = kind_of(data.at(place, 64))
    return (position, "mp3") if place > position and kind in (None, "mp3") else (place, kind)

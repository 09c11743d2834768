"""The recordings in a file, and their positions, so that no audio in the file is missed.

A header holds only what its writer knew at the time. Joined files have several headers. A recorder that could not go
back to its header, or wrote it after its first block, leaves a length of 0, of the largest possible number, or of the
first block alone. libsndfile believes the first header and reports nothing that follows. This package looks at the
bytes as far as needed: each part becomes a separate file, spliced from ranges of the original file and from corrected
headers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from streamer.audio.parts import boxes, caf, flac, iff, mpeg, ogg, riff
from streamer.audio.parts.raw import Bytes, Part, Spliced
from streamer.audio.parts.sniff import kind_of

__all__ = ["Bytes", "Part", "Spliced", "parts_of"]

#: Kind of the first bytes -> the parts from a position on. A splitter stops where it cannot continue.
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

#: A file with more parts than this is not a joined recording.
MOST_PARTS = 10_000


def parts_of(data: Bytes, name: str) -> list[Part] | None:
    """The parts of a file, in order; None if the file is one part as it is, or of a kind that needs no splitting.

    name: of the file, for messages. Raises AudioUnreadable for bytes that belong to no part.
    """
    data.name = name
    parts: list[Part] = []
    position = 0
    while position < len(data) and len(parts) < MOST_PARTS:
        try:
            place, kind = _kind(data, position)
            found = list(SPLITTERS[kind](data, place)) if kind in SPLITTERS else []
        except (struct.error, IndexError, ValueError, OverflowError):  # the decoder will refuse a damaged header
            return None
        if not found:
            break
        parts += found
        position = found[-1].end
    whole = len(parts) == 1 and parts[0].whole and parts[0].lost is None
    return None if not parts or whole else parts


def _kind(data: Bytes, position: int) -> tuple[int, str | None]:
    """The start and the kind of the recording at `position`: an ID3 tag may come before any of them."""
    place = position
    while (head := data.at(place, 10))[:3] == b"ID3" and len(head) == 10:
        place += 10 + mpeg.tag_bytes(head)
    kind = kind_of(data.at(place, 64))
    return (position, "mp3") if place > position and kind in (None, "mp3") else (place, kind)

"""Detects the kind of a file from its first bytes."""

from __future__ import annotations

from streamer.audio.parts.mpeg import frame_at

#: Audio containers and codecs -> their position and magic bytes.
AUDIO: tuple[tuple[str, int, bytes], ...] = (
    ("wav", 8, b"WAVE"),
    ("aiff", 8, b"AIFF"),
    ("aiff", 8, b"AIFC"),
    ("au", 0, b".snd"),
    ("flac", 0, b"fLaC"),
    ("ogg", 0, b"OggS"),
    ("mp4", 4, b"ftyp"),
    ("matroska", 0, b"\x1a\x45\xdf\xa3"),
    ("flv", 0, b"FLV\x01"),
    ("caf", 0, b"caff"),
    ("w64", 0, b"riff\x2e\x91\xcf\x11"),
    ("asf", 0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    ("avi", 8, b"AVI "),
    ("amr", 0, b"#!AMR"),
    ("voc", 0, b"Creative Voice File"),
    ("sphere", 0, b"NIST_1A"),
    ("mpegps", 0, b"\x00\x00\x01\xba"),
    ("ape", 0, b"MAC "),
    ("wavpack", 0, b"wvpk"),
    ("ac3", 0, b"\x0b\x77"),
    ("dsf", 0, b"DSD "),
    ("tta", 0, b"TTA1"),
    ("mp4", 4, b"moov"),
    ("mp4", 4, b"mdat"),
    ("mp4", 4, b"wide"),
)
FORMS = {"wav": (b"RIFF", b"RIFX", b"RF64", b"BW64"), "aiff": (b"FORM",), "avi": (b"RIFF",)}

#: Other kinds of files -> their magic bytes.
OTHERS: tuple[tuple[str, bytes], ...] = (
    ("a PDF document", b"%PDF-"),
    ("a ZIP archive", b"PK\x03\x04"),
    ("a gzip archive", b"\x1f\x8b\x08"),
    ("an xz archive", b"\xfd7zXZ\x00"),
    ("a Zstandard archive", b"\x28\xb5\x2f\xfd"),
    ("a bzip2 archive", b"BZh"),
    ("a PNG picture", b"\x89PNG\r\n"),
    ("a JPEG picture", b"\xff\xd8\xff"),
    ("a GIF picture", b"GIF8"),
    ("a numpy array", b"\x93NUMPY"),
    ("an SQLite database", b"SQLite format 3\x00"),
    ("a program", b"\x7fELF"),
)
#: This number of bytes decides. Samples that look like text for so long do not occur.
ENOUGH = 64


def kind_of(head: bytes) -> str | None:
    """The kind of audio that begins with `head`; None if unknown.

    64 bytes are enough, except for MPEG frames: their sync word is short, and with more bytes a second frame must
    follow.
    """
    for kind, place, magic in AUDIO:
        if head[place : place + len(magic)] == magic and (kind not in FORMS or head[:4] in FORMS[kind]):
            return kind
    if head[:3] == b"ID3":
        return "mp3"
    if _adts_bytes(head) > 0 and (len(head) <= _adts_bytes(head) or _adts_bytes(head[_adts_bytes(head) :]) > 0):
        return "aac"
    frame = frame_at(head, 0)
    if frame is not None and (len(head) < frame[1] + 4 or frame_at(head, frame[1]) is not None):
        return "mp3"
    return None


def _adts_bytes(head: bytes) -> int:
    """The length of the AAC frame (ADTS) that begins here; 0 if there is none."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or head[2] >> 2 & 15 > 12:
        return 0
    return (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5


def other_kind(head: bytes) -> str | None:
    """The kind of file that begins with `head` and is certainly no audio; None if it may be samples."""
    for kind, magic in OTHERS:
        if head.startswith(magic):
            return kind
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        text = head[: error.start].decode() if error.start >= len(head) - 3 else ""
    printable = bool(text.strip()) and all(sign.isprintable() or sign in "\r\n\t\f" for sign in text)
    return "text" if printable and len(head) >= 8 else None

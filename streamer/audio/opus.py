"""The duration of Opus packets, from their table of contents (RFC 6716, section 3.1), without a decoder."""

from __future__ import annotations

# RFC 6716, table 2: the frame length in samples at 48 kHz of each of the 32 configurations.
_OPUS_FRAME = (480, 960, 1920, 2880) * 3 + (480, 960) * 2 + (120, 240, 480, 960) * 4
_OPUS_LONGEST = 5760


def opus_duration(packet: bytes) -> int:
    """Samples at 48 kHz in an Opus packet. Raises ValueError for a packet that RFC 6716 does not allow."""
    if not packet:
        raise ValueError("an Opus packet has at least one byte")
    code = packet[0] & 3
    if code == 3 and len(packet) < 2:
        raise ValueError("an Opus packet of code 3 has at least two bytes")
    frames = packet[1] & 63 if code == 3 else (1, 2, 2)[code]
    duration = frames * _OPUS_FRAME[packet[0] >> 3]
    if not 0 < duration <= _OPUS_LONGEST:
        raise ValueError(f"an Opus packet lasts up to 120 ms; this one says {duration / 48:g} ms")
    return duration

"""RTTM, the format of diarisation references (NIST, 2009 Rich Transcription evaluation plan, appendix A)."""

from __future__ import annotations

from pathlib import Path

from streamer.audio.chunks import SAMPLE_RATE

#: Start and end as sample indices at 16 kHz, and who speaks.
LabelledTurn = tuple[int, int, str]


def line(uri: str, start_sample: int, end_sample: int, speaker: str) -> str:
    """One line of RTTM. Blanks separate the fields, so a blank in a name becomes an underscore."""
    name, uri = "_".join(speaker.split()), "_".join(uri.split())
    start_s, duration_s = start_sample / SAMPLE_RATE, (end_sample - start_sample) / SAMPLE_RATE
    return f"SPEAKER {uri} 1 {start_s:.3f} {duration_s:.3f} <NA> <NA> {name} <NA> <NA>\n"


def read_rttm(path: Path, uri: str | None = None) -> list[LabelledTurn]:
    """The turns in a file, in order. uri: only those of this recording; None for all.

    Raises ValueError for a line that is not RTTM.
    """
    turns = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fields = text.split()
        if not fields or fields[0] != "SPEAKER":
            continue
        if len(fields) < 8:
            raise ValueError(f"line {number} of {path} is not RTTM: {text!r}")
        if uri is not None and fields[1] != uri:
            continue
        start = round(float(fields[3]) * SAMPLE_RATE)
        turns.append((start, start + round(float(fields[4]) * SAMPLE_RATE), fields[7]))
    return sorted(turns)

"""A list of recordings with their speakers, as CSV, and the audio it names."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamer.audio.chunks import SAMPLE_RATE
from streamer.errors import ConfigurationError

COLUMNS = {"path", "speaker"}
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Utterance:
    """One row of a manifest; `path` is relative to the manifest's folder."""

    path: str
    speaker: str
    split: str = ""
    corpus: str = ""
    language: str = ""


def read_manifest(path: Path, split: str | None = None) -> list[Utterance]:
    """The utterances of a manifest in order; `split` keeps one split only.

    Columns path and speaker are required; split, corpus and language are optional.
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if missing := COLUMNS - set(reader.fieldnames or ()):
            raise ConfigurationError(f"{path} has no column {sorted(missing)}; a manifest needs {sorted(COLUMNS)}.")
        rows = [
            Utterance(row["path"], row["speaker"], *(row.get(key) or "" for key in ("split", "corpus", "language")))
            for row in reader
        ]
    return [row for row in rows if split is None or row.split == split]


def group_of(utterance: Utterance) -> str:
    """The group of an utterance in a report: its corpus, and the suffix of its language (`en-child`: child)."""
    return f"{utterance.corpus} {utterance.language.partition('-')[2]}".strip()


def by_group(utterances: Iterable[Utterance]) -> dict[str, list[Utterance]]:
    """The utterances of each group, see `group_of`; groups in alphabetical order."""
    groups: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        groups.setdefault(group_of(utterance), []).append(utterance)
    return dict(sorted(groups.items()))


def read_audio(path: Path) -> Float32:
    """A file's samples (samples,), 16 kHz mono float32: channels are averaged, other rates resampled."""
    import soundfile
    import soxr

    wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono: Float32 = wave.mean(1)
    return mono if rate == SAMPLE_RATE else np.asarray(soxr.resample(mono, rate, SAMPLE_RATE), np.float32)


def by_speaker(root: Path, utterances: list[Utterance]) -> list[list[Float32]]:
    """The audio of each speaker's utterances, speakers and file names in alphabetical order."""
    speakers: dict[str, list[str]] = {}
    for utterance in utterances:
        speakers.setdefault(utterance.speaker, []).append(utterance.path)
    return [[read_audio(root / path) for path in sorted(paths)] for _, paths in sorted(speakers.items())]

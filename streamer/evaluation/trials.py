"""Trials: from a list in VoxCeleb's format, or from windows of a manifest's speakers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamer.audio.chunks import SAMPLE_RATE
from streamer.evaluation.manifest import Float32


@dataclass(frozen=True, slots=True)
class Trials:
    """Pairs of items (recordings or windows) by number.

    Shapes: left, right (trials,) int64 into the items; same (trials,) bool; speaker (items,) int64.
    """

    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    same: npt.NDArray[np.bool_]
    speaker: npt.NDArray[np.int64]

    @property
    def speakers(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The speakers of both sides of each trial."""
        return self.speaker[self.left], self.speaker[self.right]


def all_pairs(speaker: npt.NDArray[np.int64], position: npt.NDArray[np.int64], apart: int = 2) -> Trials:
    """Every pair of items, except pairs of one speaker whose positions are less than `apart` from each other.

    Neighbouring windows share words and room tone, which would make the trials too easy.
    """
    left, right = np.triu_indices(len(speaker), 1)
    same = speaker[left] == speaker[right]
    kept = ~same | (np.abs(position[left] - position[right]) >= apart)
    return Trials(left[kept], right[kept], same[kept], speaker)


def across(trials: Trials, *, both_ways: bool) -> Trials:
    """Trials between two versions of the items. The items of the tests come first, then those of the enrolments; the
    left side is the enrolment. both_ways: add each pair with its sides swapped."""
    left, right, same = trials.left, trials.right, trials.same
    if both_ways:
        left, right, same = np.concatenate([left, right]), np.concatenate([right, left]), np.concatenate([same, same])
    return Trials(left + len(trials.speaker), right, same, np.concatenate([trials.speaker, trials.speaker]))


def parse_list(text: str) -> tuple[Trials, list[str]]:
    """A trial list in VoxCeleb's format, one `label enrolment test` a line, and the paths in it, in order.

    The first folder of a path is its speaker, as in VoxCeleb (`id10270/x6uYqmx31kE/00001.wav`).
    """
    paths: dict[str, int] = {}
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        fields = line.split()
        if len(fields) != 3 or fields[0] not in ("0", "1"):
            raise ValueError(
                f"line {number} of the trial list is {line!r}; expected '1 a.wav b.wav' or '0 a.wav b.wav'"
            )
        rows.append((fields[0] == "1", *(paths.setdefault(path, len(paths)) for path in fields[1:])))
    if not rows:
        raise ValueError("the trial list is empty")
    names: dict[str, int] = {}
    speaker = np.array([names.setdefault(Path(path).parts[0], len(names)) for path in paths], np.int64)
    same, left, right = (np.array(column) for column in zip(*rows, strict=True))
    return Trials(left.astype(np.int64), right.astype(np.int64), same.astype(bool), speaker), list(paths)


def cut(wave: Float32, duration_s: float, limit: int) -> list[Float32]:
    """The first `limit` consecutive windows of a speaker's joined speech; a duration of 0 s returns all of it."""
    size = round(duration_s * SAMPLE_RATE)
    if size == 0:
        return [wave]
    return [wave[start : start + size] for start in range(0, min(len(wave) - size + 1, limit * size), size)]


def windows(speakers: list[list[Float32]], duration_s: float, limit: int = 8) -> tuple[list[Float32], Trials]:
    """The project's protocol: each speaker's utterances joined, cut into windows, all pairs not less than 2 apart.

    speakers: for each speaker the utterances in the order of their file names.
    duration_s: length of a window; 0 makes each utterance a separate item, the first `limit` of a speaker.
    limit: most items of a speaker.
    """
    items: list[Float32] = []
    speaker: list[int] = []
    position: list[int] = []
    for number, utterances in enumerate(speakers):
        pieces = cut(np.concatenate(utterances), duration_s, limit) if duration_s else utterances[:limit]
        items += pieces
        speaker += [number] * len(pieces)
        position += range(len(pieces))
    # Whole utterances are separate recordings: neighbours need not be left out.
    return items, all_pairs(np.array(speaker), np.array(position), apart=2 if duration_s else 1)

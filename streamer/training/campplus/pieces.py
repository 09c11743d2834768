"""Training speech: decoded once, on the device, and cut anew for every batch.

A speech folder has `manifest.csv` (see `streamer.evaluation.manifest`), and may have `pack/index.csv`, which lists
pieces of long files: shard, start_sample, samples, corpus, speaker.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamer.audio.chunks import SAMPLE_RATE
from streamer.errors import ConfigurationError
from streamer.evaluation.manifest import read_audio, read_manifest
from streamer.training.data import STORED_DBFS, level

#: Shorter pieces say too little about a voice.
SHORTEST = 2 * SAMPLE_RATE
#: Speed changes make voices that nobody has: up to a quarter faster or a seventh slower.
SLOWEST, FASTEST = 0.85, 1.2


@dataclass(frozen=True, slots=True)
class Pieces:
    """Piece i is `audio[start[i] : start[i] + length[i]]`: audio (samples,) int16, start and length (pieces,) int64.

    speaker (pieces,) int64: a number for each label, -1 for unknown speakers.
    """

    audio: Tensor
    start: Tensor
    length: Tensor
    speaker: Tensor

    @classmethod
    def load(cls, folder: Path, without: Collection[str], device: torch.device) -> Pieces:
        """Decode a folder's training speech; `without` names corpora and speakers that are reserved for other purposes.

        Raises ConfigurationError if nothing is left.
        """
        parts, start, length, speaker, end = [], [], [], [], 0
        numbers = {"": -1}
        for wave, places in _files(folder, frozenset(without)):
            parts.append(np.round(wave * 32767).astype(np.int16))
            start += [end + place.first for place in places]
            length += [place.samples for place in places]
            speaker += [numbers.setdefault(place.speaker, len(numbers) - 1) for place in places]
            end += len(wave)
        if not start:
            raise ConfigurationError(f"{str(folder)!r} has no piece of {SHORTEST / SAMPLE_RATE:.0f} s to train on.")
        audio = torch.from_numpy(np.concatenate(parts))
        return cls(audio.to(device), *(torch.tensor(values, device=device) for values in (start, length, speaker)))

    def take(self, count: int, samples: int, generator: torch.Generator) -> Tensor:
        """Random pieces, half of them at another speed: (count, samples) float32."""
        device = self.audio.device
        chosen = torch.randint(len(self.start), (count,), generator=generator, device=device)
        speed = SLOWEST + (FASTEST - SLOWEST) * torch.rand(count, generator=generator, device=device)
        speed = torch.where(torch.rand(count, generator=generator, device=device) < 0.5, torch.ones_like(speed), speed)
        place = torch.arange(samples, device=device) * speed[:, None]
        whole = place.long()
        length = self.length[chosen, None]
        spare = (length[:, 0] - (samples * speed).long() - 1).clamp(min=1)
        first = (torch.rand(count, generator=generator, device=device) * spare).long()[:, None] + whole
        left, right = (self._at(chosen, (first + shift) % length) for shift in (0, 1))
        share = place - whole
        return left * (1 - share) + right * share

    def paired(self, samples: int) -> Tensor:
        """The speakers with two or more pieces of at least this length, (speakers,)."""
        long = self.speaker[(self.speaker >= 0) & (self.length >= samples)]
        speakers, pieces = torch.unique(long, return_counts=True)
        paired: Tensor = speakers[pieces > 1]
        return paired

    def take_speakers(self, count: int, each: int, samples: int, generator: torch.Generator) -> Tensor:
        """Windows of random `paired` speakers: (count, each, samples) float32.

        A speaker's windows are from different pieces, as long as there are more.
        """
        device = self.audio.device
        paired = self.paired(samples)
        drawn = paired[torch.randint(len(paired), (count, 1), generator=generator, device=device)]
        own = (self.speaker == drawn) & (self.length >= samples)
        # A random order of all pieces in which the speaker's own come first.
        order = torch.rand(count, len(self.start), generator=generator, device=device)
        order = torch.where(own, order, 2.0).argsort(1)
        turns = torch.arange(each, device=device) % own.sum(1, keepdim=True)
        chosen = order.gather(1, turns).flatten()
        spare = self.length[chosen] - samples + 1
        first = (torch.rand(len(chosen), generator=generator, device=device) * spare).long()
        place = first[:, None] + torch.arange(samples, device=device)
        return self._at(chosen, place).view(count, each, samples)

    def _at(self, chosen: Tensor, place: Tensor) -> Tensor:
        return self.audio[self.start[chosen, None] + place].float() / 32768


class Place(NamedTuple):
    """A piece of a file: its first sample, the number of its samples, and its speaker ("": unknown)."""

    first: int
    samples: int
    speaker: str


def _files(folder: Path, without: frozenset[str]) -> Iterator[tuple[NDArray[np.float32], list[Place]]]:
    """The samples of each file with speech, and its pieces."""
    for utterance in read_manifest(folder / "manifest.csv", "train"):
        if not {utterance.corpus, utterance.speaker} & without and not utterance.path.startswith("pack/"):
            wave = level(read_audio(folder / utterance.path), STORED_DBFS)
            if len(wave) >= SHORTEST:
                yield wave, [Place(0, len(wave), utterance.speaker)]
    index = folder / "pack" / "index.csv"
    if not index.exists():
        return
    shards: dict[str, list[Place]] = {}
    with index.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if not {row["corpus"], row["speaker"]} & without and int(row["samples"]) >= SHORTEST:
                place = Place(int(row["start_sample"]), int(row["samples"]), row["speaker"])
                shards.setdefault(row["shard"], []).append(place)
    for shard, places in shards.items():
        yield read_audio(folder / "pack" / shard), places

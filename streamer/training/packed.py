"""Speech in shards: files with half an hour of pieces each, and an index of the pieces.

`pack/index.csv` beside the manifest has the columns shard, start_sample, samples, corpus and speaker; speaker may be
empty.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from streamer.audio.chunks import SAMPLE_RATE
from streamer.evaluation.manifest import Float32, Utterance

INDEX = Path("pack") / "index.csv"
#: Speeds that training does not use: they make a voice of nobody, which the network was not trained on.
SPEEDS = (0.95, 1.05)


@dataclass(frozen=True, slots=True)
class Clip:
    """A piece of a file, played at another speed: `start` and `samples` at the file's 16 kHz; 0: all of it."""

    path: Path
    start: int = 0
    samples: int = 0
    speed: float = 1.0

    def read(self) -> Float32:
        """(samples / speed,) float32."""
        wave, rate = soundfile.read(
            self.path, frames=self.samples or -1, start=self.start, dtype="float32", always_2d=True
        )
        mono = wave.mean(1)
        if rate == SAMPLE_RATE * self.speed or (rate == SAMPLE_RATE and self.speed == 1.0):
            return np.asarray(mono, np.float32)
        return np.asarray(soxr.resample(mono, rate * self.speed, SAMPLE_RATE), np.float32)


def clips_of(manifest: Path, utterances: list[Utterance]) -> dict[str, dict[str, list[Clip]]]:
    """All labelled speech of a manifest's training split, shards included: by corpus and by speaker, each at a random
    speed that training does not use."""
    found: dict[str, dict[str, list[Clip]]] = {}
    for row in utterances:
        found.setdefault(row.corpus, {}).setdefault(row.speaker, []).append(Clip(manifest.parent / row.path))
    index = manifest.parent / INDEX
    if index.exists():
        with index.open(newline="", encoding="utf-8") as file:
            for line in csv.DictReader(file):
                if line["speaker"]:
                    clip = Clip(index.parent / line["shard"], int(line["start_sample"]), int(line["samples"]))
                    found.setdefault(line["corpus"], {}).setdefault(line["speaker"], []).append(clip)
    return {
        corpus: {
            name: [Clip(clip.path, clip.start, clip.samples, SPEEDS[place % 2]) for clip in clips]
            for place, (name, clips) in enumerate(sorted(speakers.items()))
        }
        for corpus, speakers in sorted(found.items())
    }

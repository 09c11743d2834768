"""The development sets in training: decoded once, evaluated by the project's protocol."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamer.evaluation.manifest import Float32, by_group, by_speaker, read_manifest
from streamer.evaluation.metrics import Bool, det_curve, eer, equal_error
from streamer.evaluation.scoring import Float, cosine
from streamer.evaluation.trials import windows
from streamer.evaluation.verification import Embed, embed_items

#: For each set: scores (trials,), and whether each trial is of one speaker.
Scores = dict[str, tuple[Float, Bool]]


@dataclass(frozen=True, slots=True)
class Development:
    """Named sets of speakers, each speaker a list of utterances."""

    sets: dict[str, list[list[Float32]]]

    @classmethod
    def from_manifest(cls, path: Path, cache: Path, split: str = "dev") -> Development:
        """One set for each corpus and language group of a manifest's split, e.g. `speechocean762 en-child`.

        The decoded audio is cached as int16 in the file `cache`, so that a resumed run starts quickly.
        """
        if not cache.exists():
            arrays = {
                f"{name}/{speaker:04d}/{number:04d}": np.round(wave * 32767).astype(np.int16)
                for name, group in by_group(read_manifest(path, split)).items()
                for speaker, waves in enumerate(by_speaker(path.parent, group))
                for number, wave in enumerate(waves)
            }
            np.savez(cache, **arrays)  # type: ignore[arg-type]
        found: dict[str, dict[str, list[Float32]]] = {}
        with np.load(cache) as arrays_by_key:
            for key in sorted(arrays_by_key):
                name, speaker_key, _ = key.split("/")
                wave = arrays_by_key[key].astype(np.float32) / np.float32(32767)
                found.setdefault(name, {}).setdefault(speaker_key, []).append(wave)
        return cls({name: list(speakers.values()) for name, speakers in found.items()})

    def evaluate(self, embed: Embed, duration_s: float = 3.0) -> dict[str, float]:
        """The EER of each set, in per cent."""
        return {name: 100 * eer(scores, same) for name, (scores, same) in self.scores(embed, duration_s).items()}

    def scores(self, embed: Embed, duration_s: float = 3.0) -> Scores:
        """The cosines of each set's trials, and whether each trial is of one speaker."""
        found = {}
        for name, speakers in self.sets.items():
            items, trials = windows(speakers, duration_s)
            found[name] = cosine(embed_items(items, embed), trials.left, trials.right), trials.same
        return found


def pooled_threshold(found: Scores) -> float:
    """The score at the EER of all sets' trials together, with equal weight for every set, whatever its size."""
    weights = [np.where(same, 1 / same.sum(), 1 / (~same).sum()) for _, same in found.values()]
    scores, same = (np.concatenate(column) for column in zip(*found.values(), strict=True))
    return equal_error(det_curve(scores, same, np.concatenate(weights)))[1]

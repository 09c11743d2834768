"""The development sets as training sees them: decoded once, evaluated by the project's protocol."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from streamer.evaluation.manifest import Float32, Utterance, by_speaker, group_of, read_manifest
from streamer.evaluation.metrics import eer
from streamer.evaluation.scoring import cosine
from streamer.evaluation.trials import windows
from streamer.evaluation.verification import Embed, embed_items
from streamer.models.xvector import XVectorSincNet


def embedder(network: XVectorSincNet) -> Embed:
    """A network as a function of waveforms (batch, samples), on whatever device it is."""
    device = network.embedding.weight.device
    return lambda waves: network(waves.unsqueeze(1).to(device)).cpu()


@dataclass(frozen=True, slots=True)
class Development:
    """Named sets of speakers, each speaker a list of utterances."""

    sets: dict[str, list[list[Float32]]]

    @classmethod
    def from_manifest(cls, path: Path, split: str = "dev") -> Development:
        """One set for each corpus and language group of a manifest's split, e.g. `speechocean762 en-child`."""
        groups: dict[str, list[Utterance]] = {}
        for utterance in read_manifest(path, split):
            groups.setdefault(group_of(utterance), []).append(utterance)
        return cls({name: by_speaker(path.parent, group) for name, group in sorted(groups.items())})

    def evaluate(self, embed: Embed, duration_s: float = 3.0) -> dict[str, float]:
        """The EER of each set, in per cent. `embed` takes (batch, samples) and gives (batch, dimension)."""
        return {name: 100 * self._eer(embed, speakers, duration_s) for name, speakers in self.sets.items()}

    @staticmethod
    def _eer(embed: Embed, speakers: list[list[Float32]], duration_s: float) -> float:
        items, trials = windows(speakers, duration_s)
        embeddings = embed_items(items, embed)
        return eer(cosine(embeddings, trials.left, trials.right), trials.same)

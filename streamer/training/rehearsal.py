"""Simulated conversations of voices outside the training data, to fit the tracker's scores and settings to."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from streamer.engine.incremental import IncrementalModel
from streamer.errors import ConfigurationError
from streamer.evaluation.conversations import Plan, Voices, converse
from streamer.evaluation.manifest import read_manifest
from streamer.evaluation.stream import ComputedConversation, compute, read_noise
from streamer.speakers.settings import STEP_S
from streamer.training.recipe import Data


def groups(data: Data) -> dict[str, Voices]:
    """The voices to simulate with: the speakers held out of training, and all speakers of the corpora left out.

    Grouped by corpus and language, because people who meet sound more alike than people of several corpora or
    languages: strangers who speak different languages have such low scores that the evidence for a name would seem
    strong where it is not. A corpus and language with fewer than three such voices is no group.
    """
    manifest = Path(data.manifest).expanduser()
    training = read_manifest(manifest, "train")
    speakers = sorted({row.speaker for row in training})
    held_out = set(speakers[:: data.held_out_every])
    noise = read_noise(manifest.parent / row.path for row in read_manifest(manifest, "noise"))
    found: dict[str, Voices] = {}
    unheard = [row for row in training if row.corpus in data.without or row.speaker in held_out]
    for corpus, language in sorted({(row.corpus, row.language) for row in unheard}):
        rows = [row for row in unheard if (row.corpus, row.language) == (corpus, language)]
        with suppress(ConfigurationError):
            found[f"{corpus} {language}".strip()] = Voices.of(manifest.parent, rows, noise)
    return found


def rehearse(engine: IncrementalModel, data: Data, count: int, seed: int) -> dict[str, list[ComputedConversation]]:
    """`count` conversations of each group, through the engine; the first one is drawn from `seed`."""
    return {
        name: [compute(engine, converse(voices, Plan(), seed + number), STEP_S) for number in range(count)]
        for name, voices in groups(data).items()
    }

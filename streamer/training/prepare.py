"""Everything that is computed once before a run: decoded audio, labels, rooms, noise."""

from __future__ import annotations

from pathlib import Path

from streamer.evaluation.manifest import read_audio, read_manifest
from streamer.training import speech
from streamer.training.augmentation import Augmenter, noise_bank, simulate_rooms
from streamer.training.data import prepare
from streamer.training.hearing import hear_corpus
from streamer.training.recipe import Recipe
from streamer.training.sampler import Sampler
from streamer.training.teachers import teacher_of


def prepared(recipe: Recipe) -> tuple[Sampler, Augmenter]:
    """The data of a recipe's run; files that exist in its cache folder are not computed again."""
    data = recipe.data
    cache, manifest = Path(data.cache).expanduser(), Path(data.manifest).expanduser()
    utterances = read_manifest(manifest, "train")
    corpus = prepare(manifest.parent, utterances, data.speeds, cache, data.drawn_voices, data.drawn_seed)
    labels = speech.label_corpus(corpus, cache / "speech.npy")
    sampler = Sampler(
        corpus,
        hear_corpus(teacher_of(data.teacher), corpus, cache, data.frame_voices),
        labels,
        recipe.architecture.grid,
        recipe.architecture.dimension,
        utterance_share=recipe.loss.utterance_share,
        shrinkage=recipe.loss.shrinkage,
        without=data.without,
        held_out_every=data.held_out_every,
    )
    bank = cache / "noise.npy"
    entries = [] if bank.exists() else read_manifest(manifest, "noise")
    recordings = [read_audio(manifest.parent / entry.path) for entry in entries]
    augment = Augmenter(
        rooms=simulate_rooms(data.rooms, cache / "rooms.npy"),
        noise=noise_bank(recordings, bank, data.noise_minutes),
        chances=recipe.augmentation,
    )
    return sampler, augment

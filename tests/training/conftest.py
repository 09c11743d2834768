"""A small corpus, made of hums, with labels as the teachers would give them."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import soundfile
import torch

from streamer.evaluation.manifest import read_manifest
from streamer.models.architecture import Architecture
from streamer.models.grid import FrameGrid
from streamer.training import speech
from streamer.training.augmentation import ROOM_TAPS, Augmenter, Chances
from streamer.training.data import prepare
from streamer.training.hearing import HeardCorpus
from streamer.training.recipe import Data, Loss, Recipe, Schedule
from streamer.training.sampler import Sampler
from streamer.training.teachers import Teacher

SPEEDS = [1.0, 0.9]
SPEAKERS, EACH = 6, 3


class Listener(Teacher):
    """Knows voices by how strong their harmonics are."""

    name, description = "listener", "Who hears harmonics"
    partial, hop, dimension = 25_600, 12_800, 200

    def hear(self, waves: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        spectrum = torch.fft.rfft(waves).abs()[:, : 8 * self.dimension]
        return spectrum.unflatten(1, (-1, 8)).sum(2), waves.new_empty(len(waves), 0, 0)


class Attentive(Listener):
    """Hears the spectrum of every tenth of a second, too."""

    name, description = "attentive", "Who hears every moment"
    frame_grid: ClassVar[FrameGrid | None] = FrameGrid(800, 1600)

    def hear(self, waves: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        embeddings, _ = super().hear(waves)
        return embeddings, torch.fft.rfft(waves.unfold(1, 1600, 800)).abs()[..., 8:200].log1p()


def hum(pitch: float, seconds: float, seed: int) -> np.ndarray:
    """Something with harmonics, (samples,)."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * 16_000)) / 16_000
    tone = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 8))
    return (0.1 * tone + 0.01 * rng.standard_normal(len(time))).astype(np.float32)


@pytest.fixture(scope="session")
def manifest(tmp_path_factory):
    """A manifest of two corpora, and its audio: utterances of 1 to 4 s."""
    folder = tmp_path_factory.mktemp("speech")
    lines = ["path,split,corpus,speaker,language"]
    for speaker in range(SPEAKERS):
        for number in range(EACH):
            name = f"{speaker}-{number}.flac"
            soundfile.write(folder / name, hum(90 * 1.2**speaker, 1.0 + 1.5 * number, speaker), 16_000)
            lines.append(f"{name},train,{'ab'[speaker % 2]},s{speaker},en")
    (folder / "manifest.csv").write_text("\n".join(lines))
    return folder / "manifest.csv"


@pytest.fixture(scope="session")
def corpus(manifest, tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    return prepare(manifest.parent, read_manifest(manifest, "train"), SPEEDS, folder, workers=1)


@pytest.fixture(scope="session")
def targets(corpus):
    """In the place of the teacher's embeddings: never negative, of norm 1, alike within a speaker."""
    rng = np.random.default_rng(5)
    row = np.repeat(np.arange(len(corpus)), Listener.counts(corpus.samples))
    voice = rng.random((corpus.classes, Listener.dimension))[corpus.label(row)]
    embeddings = np.abs(voice + 0.2 * rng.standard_normal(voice.shape))
    return (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="session")
def labels(corpus):
    return np.ones(int(speech.label_counts(corpus.samples).sum()), np.float32)


@pytest.fixture(scope="session")
def sampler(corpus, targets, labels):
    return Sampler(corpus, HeardCorpus(Listener, targets), labels, Architecture().grid, 256, utterance_share=0.4)


@pytest.fixture(scope="session")
def listener():
    return Listener


@pytest.fixture(scope="session")
def attentive():
    return Attentive


@pytest.fixture(scope="session")
def augment():
    rooms = torch.zeros(1, ROOM_TAPS)
    rooms[0, 0] = 1.0
    noise = (np.random.default_rng(0).standard_normal(60_000) * 3_000).astype(np.int16)
    return Augmenter(rooms, noise, Chances())


@pytest.fixture
def recipe(tmp_path):
    return Recipe(
        name="small",
        folder=str(tmp_path),
        data=Data("", ""),
        architecture=Architecture(front="log", norm="batch", dimension=256, attention=True, speech_head=True),
        loss=Loss(margin_from=0.0),
        schedule=Schedule(
            steps=2, batch=4, noise_batch=1, seconds=[0.4, 0.5], save_every=1, evaluate_every=1, rate=1e-3
        ),
    )

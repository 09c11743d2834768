"""The teacher's frames: heard once, found again at the right sample, and learned from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from streamer.errors import ConfigurationError
from streamer.models.grid import FrameGrid
from streamer.models.model import Model
from streamer.training.augmentation import Augmenter
from streamer.training.data import Corpus
from streamer.training.frames import TeacherFrames, hear_frames, principal
from streamer.training.loop import Trainer
from streamer.training.network import Student
from streamer.training.recipe import Loss, Recipe
from streamer.training.refit import fit_frames
from streamer.training.sampler import Sampler
from streamer.training.teachers import Teacher


class Attentive(Teacher):
    """Hears the spectrum of every tenth of a second, and names nobody."""

    name, description = "attentive", "Who hears every moment"
    partial, hop, dimension = 25_600, 12_800, 200
    frame_grid: ClassVar[FrameGrid | None] = FrameGrid(800, 1600)

    def embed_partials(self, waves: torch.Tensor) -> torch.Tensor:
        raise AssertionError("nobody asked for embeddings")

    def hear_frames(self, waves: torch.Tensor) -> torch.Tensor:
        return torch.fft.rfft(waves.unfold(1, 1600, 800)).abs()[..., 8:200].log1p()


@pytest.fixture(scope="module")
def heard(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> TeacherFrames:
    return hear_frames(Attentive, corpus, 1, tmp_path_factory.mktemp("heard") / "frames.npy")


@pytest.fixture(scope="module")
def attentive(corpus: Corpus, targets: np.ndarray, labels: np.ndarray, heard: TeacherFrames) -> Sampler:
    return Sampler(corpus, Attentive, targets, labels, 256, frames=heard)


def test_frames_are_those_of_the_first_voices_partials(corpus: Corpus, heard: TeacherFrames) -> None:
    counts = Attentive.counts(corpus.samples)
    own = int(counts[corpus.voice == 0].sum())

    with torch.inference_mode():
        frames = Attentive().hear_frames(Attentive.partials_of(corpus, np.arange(own))).numpy()

    assert heard.values.shape == (own, frames.shape[1], 128)
    # Components keep what matters of the distances between frames, in units of a frame's standard deviation.
    of_whole = np.square(frames - frames.mean((0, 1))).sum(2).mean()
    found = np.square(heard.values[3, 5].astype(float) - heard.values[7, 2]).sum()
    assert found == pytest.approx(np.square(frames[3, 5] - frames[7, 2]).sum() / of_whole, rel=0.05)


def test_frames_that_were_heard_are_mapped_again(corpus: Corpus, tmp_path: Path) -> None:
    path = tmp_path / "frames.npy"
    np.save(path, np.ones((2, 3, 4), np.float16))

    assert hear_frames(Attentive, corpus, 1, path).values.shape == (2, 3, 4)


def test_a_teacher_that_gives_no_frames_is_refused(corpus: Corpus, listener: type[Teacher], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="frame_voices"):
        hear_frames(listener, corpus, 1, tmp_path / "frames.npy")


def test_the_frame_that_is_nearest_to_a_sample_is_found() -> None:
    values = np.arange(4 * 31, dtype=np.float16).reshape(4, 31, 1)  # 31 frames in a partial
    frames = TeacherFrames(Attentive, values)

    # Row one has partials 1 and 2; row two, partial 4, which was not heard.
    found = frames.at(np.array([1, 4]), np.array([2, 1]), np.array([[0, 1599, 12_799, 12_801, 38_399, 38_400]] * 2))

    # The middles of a partial's frames lie at 800, 1600, ...; the second one begins at 12,800 and is asked from there.
    assert found.values[0, :, 0].tolist() == [31 + 0, 31 + 1, 31 + 15, 62 + 0, 62 + 30, 0]
    assert found.known.tolist() == [[True] * 5 + [False], [False] * 6]


def test_principal_components_explain_frames_in_units_of_their_deviation() -> None:
    rng = np.random.default_rng(0)
    frames = (rng.standard_normal((40, 50, 3)) @ rng.standard_normal((3, 200)) + 5).astype(np.float32)

    mean, basis = principal(frames)
    components = (frames - mean) @ basis

    assert components.shape == (40, 50, 128)
    assert np.square(components).sum(2).mean() == pytest.approx(1.0, rel=1e-3)
    assert np.square(components[..., :3]).sum(2).mean() == pytest.approx(1.0, rel=1e-3)


def test_a_run_learns_the_frames(attentive: Sampler, augment: Augmenter, recipe: Recipe) -> None:
    recipe = replace(
        recipe,
        loss=Loss(distillation=0.0, similarity=0.0, margin=0.0, speech=0.0, frames=1.0),
        schedule=replace(recipe.schedule, steps=12, batch=8, seconds=[0.5], rate=3e-3),
    )
    trainer = Trainer(recipe, attentive, augment)

    found = [trainer.train_step()["frames"] for _ in range(12)]

    assert np.mean(found[-3:]) < 0.8 * np.mean(found[:3])


def test_the_layer_that_hears_frames_is_fitted_to_what_the_network_gives(
    attentive: Sampler, augment: Augmenter
) -> None:
    network = Model.from_pretrained("default").network
    student = Student(network, torch.randn(attentive.corpus.classes, 256), attentive.frames.components)
    batch = attentive.draw(24, 1.0, np.random.default_rng(1))
    voices = torch.zeros(24, dtype=torch.bool)

    def unexplained() -> float:
        student.eval()
        with torch.inference_mode():
            return float(student.frames_unexplained(student.frames(batch.waves).features, batch, voices))

    as_it_was = unexplained()
    fit_frames(student, attentive, augment, crops=160)

    assert unexplained() < 0.5 < as_it_was

"""The teacher's frames: heard once, found again at the right sample, and learned from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from streamer.models.architecture import Architecture
from streamer.models.model import Model
from streamer.training.frames import TeacherFrames, principal
from streamer.training.hearing import HeardCorpus, hear_corpus
from streamer.training.loop import Trainer
from streamer.training.network import Student
from streamer.training.recipe import Loss
from streamer.training.refit import fit_frames
from streamer.training.sampler import Sampler


@pytest.fixture(scope="module")
def sampler(
    corpus,
    attentive,
    targets,
    labels,
    tmp_path_factory,
):
    heard = hear_corpus(attentive, corpus, tmp_path_factory.mktemp("heard"), frame_voices=1)
    return Sampler(corpus, HeardCorpus(attentive, targets, heard.frames), labels, Architecture().grid, 256)


def test_the_frame_that_is_nearest_to_a_sample_is_found(attentive):
    values = np.arange(4 * 31, dtype=np.float16).reshape(4, 31, 1)  # 31 frames in a partial
    frames = TeacherFrames(attentive, values)

    # Row one has partials 1 and 2; row two, partial 4, which was not heard.
    found = frames.at(np.array([1, 4]), np.array([2, 1]), np.array([[0, 1599, 12_799, 12_801, 38_399, 38_400]] * 2))

    # The middles of a partial's frames lie at 800, 1600, ...; the second one begins at 12,800 and is asked from there.
    assert found.values[0, :, 0].tolist() == [31 + 0, 31 + 1, 31 + 15, 62 + 0, 62 + 30, 0]
    assert found.known.tolist() == [[True] * 5 + [False], [False] * 6]


def test_principal_components_explain_frames_in_units_of_their_deviation():
    rng = np.random.default_rng(0)
    frames = (rng.standard_normal((40, 50, 3)) @ rng.standard_normal((3, 200)) + 5).astype(np.float32)

    mean, basis = principal(frames)
    components = (frames - mean) @ basis

    assert components.shape == (40, 50, 128)
    assert np.square(components).sum(2).mean() == pytest.approx(1.0, rel=1e-3)
    assert np.square(components[..., :3]).sum(2).mean() == pytest.approx(1.0, rel=1e-3)


def test_a_run_learns_the_frames(sampler, augment, recipe):
    recipe = replace(
        recipe,
        loss=Loss(distillation=0.0, similarity=0.0, margin=0.0, speech=0.0, frames=1.0),
        schedule=replace(recipe.schedule, steps=12, batch=8, seconds=[0.5], rate=3e-3),
    )
    trainer = Trainer(recipe, sampler, augment)

    found = [trainer.train_step()["frames"] for _ in range(12)]

    assert np.mean(found[-3:]) < 0.8 * np.mean(found[:3])


def test_the_layer_that_hears_frames_is_fitted_to_what_the_network_gives(sampler, augment):
    network = Model.from_pretrained("sincnet").network
    student = Student(network, torch.randn(sampler.corpus.classes, 256), sampler.frames.components)
    batch = sampler.draw(24, 1.0, np.random.default_rng(1))
    voices = torch.zeros(24, dtype=torch.bool)

    def unexplained() -> float:
        student.eval()
        with torch.inference_mode():
            return float(student.frames_unexplained(student.frames(batch.waves).features, batch, voices))

    as_it_was = unexplained()
    fit_frames(student, sampler, augment, crops=160)

    assert unexplained() < 0.5 < as_it_was

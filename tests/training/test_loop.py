"""A run: it learns, it can be broken off anywhere, and its weights can be shipped."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.utils import parameters_to_vector

from streamer.errors import ConfigurationError
from streamer.models.model import Model, ModelCard
from streamer.models.xvector import XVectorSincNet
from streamer.training import export
from streamer.training.backend import make_cohort
from streamer.training.loop import Trainer
from streamer.training.network import Average
from streamer.training.recipe import Loss, Recipe

RECIPES = Path(export.__file__).parent / "recipes"


def weights(network: XVectorSincNet) -> torch.Tensor:
    return torch.cat([value.flatten().float() for value in network.state_dict().values()])


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_a_broken_off_run_ends_where_an_unbroken_one_does(sampler, augment, recipe, optimiser):
    recipe = replace(recipe, schedule=replace(recipe.schedule, optimiser=optimiser))
    unbroken = Trainer(replace(recipe, folder=recipe.folder + "/unbroken"), sampler, augment)
    unbroken.run(lambda network: {})
    broken = Trainer(recipe, sampler, augment)
    broken.train_step()
    broken.save()
    broken.train_step()  # What is done after the last save is done again.

    resumed = Trainer(recipe, sampler, augment)
    assert resumed.resume()
    resumed.run(lambda network: {})

    assert resumed.step == 2
    torch.testing.assert_close(weights(resumed.average.network), weights(unbroken.average.network))


def test_a_run_logs_every_step_and_draws_its_curves(sampler, augment, recipe):
    pytest.importorskip("matplotlib")
    trainer = Trainer(recipe, sampler, augment)

    trainer.run(lambda network: {"set": 50.0})

    with (trainer.folder / "log.csv").open() as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == [1, 2]
    assert (trainer.folder / "dev.csv").read_text().count("\n") == 3
    assert (trainer.folder / "curves.png").stat().st_size > 0


def test_a_run_can_begin_with_the_weights_of_a_model(sampler, augment, recipe, tmp_path):
    torch.manual_seed(1)
    network = XVectorSincNet(recipe.architecture)
    export.save(tmp_path / "start.safetensors", Model(network, ModelCard("start")))

    trainer = Trainer(replace(recipe, start=str(tmp_path / "start.safetensors")), sampler, augment)

    torch.testing.assert_close(weights(trainer.average.network), weights(network))


def test_a_last_layer_is_fitted_to_new_targets_before_the_first_step(sampler, augment, recipe):
    def distance(trainer: Trainer) -> float:
        batch = sampler.draw(24, 2.0, np.random.default_rng(8))
        found = torch.nn.functional.normalize(trainer.average.network(batch.waves.unsqueeze(1)), dim=1)
        return float((1 - (found * batch.target).sum(1)).mean())

    with torch.inference_mode():
        as_it_was = distance(Trainer(recipe, sampler, augment))
        fitted = distance(Trainer(replace(recipe, refit=True), sampler, augment))

    assert as_it_was > 0.9
    assert fitted < 0.5


def test_the_loss_falls(sampler, augment, recipe):
    schedule = replace(recipe.schedule, steps=16, batch=8, seconds=[0.5])
    trainer = Trainer(replace(recipe, schedule=schedule, loss=Loss(margin=0.0)), sampler, augment)

    losses = [trainer.train_step()["loss"] for _ in range(16)]

    assert np.mean(losses[-3:]) < 0.7 * np.mean(losses[:3])


def test_the_rate_rises_falls_and_ends_near_nothing(sampler, augment, recipe):
    trainer = Trainer(replace(recipe, schedule=replace(recipe.schedule, steps=100)), sampler, augment)
    rates = []
    for trainer.step in range(101):
        rates.append(trainer.rate())

    peak = int(np.argmax(rates))
    assert peak == 4
    assert rates[0] < 0.1 * rates[peak]
    assert rates[-1] == pytest.approx(0.01 * rates[peak], rel=0.01)
    assert all(np.diff(rates[peak:]) <= 0)


def test_a_constant_channel_does_not_break_the_step(sampler, augment, recipe):
    trainer = Trainer(recipe, sampler, augment)
    with torch.no_grad():
        trainer.student.network.tdnns[-1].weight[:10] = 0.0

    trainer.train_step()

    assert torch.isfinite(weights(trainer.student.network)).all()


def test_the_average_of_constant_weights_is_the_weights(recipe):
    network = XVectorSincNet(recipe.architecture)
    average = Average(XVectorSincNet(recipe.architecture), 0.5)

    for step in range(60):
        average.update(network, step)

    torch.testing.assert_close(weights(average.network), weights(network), atol=1e-4, rtol=1e-4)


def test_exported_weights_are_halves_with_the_meaning_of_their_scores(sampler, augment, recipe, tmp_path):
    trainer = Trainer(recipe, sampler, augment)
    trainer.train_step()
    trainer.save()
    network, trained = export.averaged(recipe)
    scores = export.describe_scores(network, sampler.corpus, np.arange(len(sampler.corpus.speakers)))

    cohort = make_cohort(network, sampler, augment, crops=80)

    export.save(
        tmp_path / "model.safetensors",
        Model(network, export.card(recipe, scores, 0.4, trained, "text"), cohort),
        torch.float16,
    )

    model = Model.from_pretrained(str(tmp_path / "model.safetensors"))
    assert model.card.threshold == 0.4
    assert model.card.details["trained"]["steps"] == 1
    assert model.card.details["scores"].keys() == {"1.0"}  # no speaker has two utterances for longer windows
    assert model.cohort is not None and model.cohort.shape == cohort.shape
    assert (tmp_path / "model.safetensors").stat().st_size < 9.5e6


def test_a_cohort_hears_each_speaker_slower_and_faster(sampler, augment, recipe):
    network = XVectorSincNet(recipe.architecture).eval()
    speakers = len(sampler.corpus.speakers)

    cohort = make_cohort(network, sampler, augment, crops=240)

    assert cohort.shape == (2 * speakers, 256)
    slower, faster = cohort[:speakers], cohort[speakers:]
    assert not np.allclose(slower, faster, atol=1e-3)


def test_what_a_model_was_trained_before_counts_too(sampler, augment, recipe, tmp_path):
    start = tmp_path / "start.safetensors"
    card = ModelCard("start", details={"trained": {"steps": 100, "hours": 2.0}})
    export.save(start, Model(XVectorSincNet(recipe.architecture), card))
    recipe = replace(recipe, start=str(start))
    trainer = Trainer(recipe, sampler, augment)
    trainer.train_step()
    trainer.save()

    _, trained = export.averaged(recipe)

    assert trained["steps"] == 101
    assert 2.0 <= trained["hours"] < 2.1


def test_a_share_of_what_is_exported_is_the_start(sampler, augment, recipe, tmp_path):
    start = XVectorSincNet(recipe.architecture)
    export.save(tmp_path / "start.safetensors", Model(start, ModelCard("start")))
    recipe = replace(recipe, start=str(tmp_path / "start.safetensors"))
    trainer = Trainer(recipe, sampler, augment)
    trainer.train_step()
    trainer.save()

    def exported(share: float) -> torch.Tensor:
        return parameters_to_vector(export.averaged(replace(recipe, start_share=share))[0].parameters())

    begun, run = parameters_to_vector(start.parameters()), exported(0.0)
    assert not torch.equal(run, begun)
    torch.testing.assert_close(exported(1.0), begun)
    torch.testing.assert_close(exported(0.25), 0.75 * run + 0.25 * begun)


@pytest.mark.parametrize("path", sorted(RECIPES.rglob("*.toml")), ids=lambda path: path.stem)
def test_the_recipes_of_the_default_weights_read(path):
    recipe = Recipe.load(path)

    assert recipe.architecture.frame_local
    assert recipe.architecture.dimension == 256


def test_a_setting_that_means_nothing_is_refused(tmp_path):
    text = (RECIPES / "sincnet" / "01-resemblyzer.toml").read_text(encoding="utf-8")
    (tmp_path / "wrong.toml").write_text(text.replace("[schedule]", "[schedule]\nspeed = 3"))

    with pytest.raises(ConfigurationError, match="speed"):
        Recipe.load(tmp_path / "wrong.toml")

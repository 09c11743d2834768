"""The optimisers: what each steps, and how far."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.optim import AdamW, Muon

from streamer.errors import ConfigurationError
from streamer.models.architecture import Architecture
from streamer.models.xvector import XVectorSincNet
from streamer.training.network import Student
from streamer.training.optimiser import optimisers_of
from streamer.training.recipe import Schedule

MUON = Schedule(optimiser="muon", rate=1e-3, weight_decay=0.0)


@pytest.fixture
def student():
    architecture = Architecture(front="log", norm="batch", dimension=256, attention=True, speech_head=True)
    student = Student(XVectorSincNet(architecture), torch.eye(3, 256))
    generator = torch.Generator().manual_seed(0)
    for parameter in student.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    return student


def test_every_learned_parameter_is_stepped_once(student):
    before = {name: parameter.detach().clone() for name, parameter in student.named_parameters()}
    adamw, muon = optimisers_of(student, MUON)
    assert isinstance(adamw, AdamW) and isinstance(muon, Muon)

    muon.step()
    by_muon = {name for name, parameter in student.named_parameters() if not torch.equal(parameter, before[name])}
    adamw.step()
    moved = {name for name, parameter in student.named_parameters() if not torch.equal(parameter, before[name])}

    layers = [*(f"tdnns.{number}" for number in (0, 3, 6, 9, 12)), "sincnet.conv1d.1", "sincnet.conv1d.2", "embedding"]
    assert by_muon == {f"network.{layer}.weight" for layer in layers}
    assert moved == {name for name, parameter in student.named_parameters() if parameter.requires_grad}


def test_muon_steps_as_far_in_every_direction_as_adamw_in_every_entry(student):
    kernel = student.network.tdnns[3].weight
    assert isinstance(kernel, torch.nn.Parameter)
    before = kernel.detach().clone()

    optimisers_of(student, MUON)[1].step()

    step = (before - kernel.detach()).flatten(1)
    values = torch.linalg.svdvals(step)
    assert values.max() / values.min() < 3  # of the gradient itself: more than 3.5
    assert float(step.square().mean().sqrt()) == pytest.approx(0.2 * MUON.rate, rel=0.2)


def test_adamw_alone_steps_everything_by_default(student):
    (adamw,) = optimisers_of(student, Schedule())

    groups = [parameter for group in adamw.param_groups for parameter in group["params"]]
    assert len(groups) == sum(parameter.requires_grad for parameter in student.parameters())


def test_an_unknown_optimiser_is_named(student):
    with pytest.raises(ConfigurationError, match=r"'sgd'.*'adamw' and 'muon'"):
        optimisers_of(student, replace(MUON, optimiser="sgd"))

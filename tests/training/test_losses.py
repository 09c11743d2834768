"""Losses at the points where their value is known."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from streamer.training.losses import MarginSoftmax, distillation, similarity


@pytest.fixture
def embeddings() -> torch.Tensor:
    return F.normalize(torch.randn(6, 16, generator=torch.Generator().manual_seed(0)), dim=1)


def test_what_equals_the_teacher_costs_nothing(embeddings: torch.Tensor) -> None:
    assert distillation(embeddings, embeddings) == pytest.approx(0, abs=1e-6)
    assert similarity(embeddings, embeddings) == 0


def test_a_rotation_keeps_the_similarities_but_not_the_embeddings(embeddings: torch.Tensor) -> None:
    turned = embeddings.roll(1, dims=1)

    assert similarity(turned, embeddings) == pytest.approx(0, abs=1e-6)
    assert distillation(turned, embeddings) > 0.1


def test_without_a_margin_it_is_the_plain_softmax(embeddings: torch.Tensor) -> None:
    softmax = MarginSoftmax(torch.randn(4, 16), scale=10.0, margin=0.0)
    labels = torch.tensor([0, 1, 2, 3, 0, 1])

    expected = F.cross_entropy(10 * embeddings @ F.normalize(softmax.weight, dim=1).T, labels)

    torch.testing.assert_close(softmax(embeddings, labels), expected)


def test_the_margin_asks_for_an_angle_more(embeddings: torch.Tensor) -> None:
    softmax = MarginSoftmax(torch.randn(2, 16), scale=1.0, margin=0.2)
    own = F.normalize(softmax.weight[:1], dim=1)
    other = F.normalize(torch.randn(1, 16) - (torch.randn(1, 16) @ own.T) * own, dim=1)
    other = F.normalize(other - (other @ own.T) * own, dim=1)
    embedding = torch.cos(torch.tensor(1.0)) * own + torch.sin(torch.tensor(1.0)) * other

    loss = softmax(embedding, torch.tensor([0]))

    rival = (embedding @ F.normalize(softmax.weight[1:], dim=1).T).squeeze()
    expected = F.cross_entropy(torch.stack([torch.cos(torch.tensor(1.2)), rival])[None], torch.tensor([0]))
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("angle", [0.0, 3.0, torch.pi])
def test_the_slope_is_finite_and_pulls_towards_the_own_class_at_every_angle(angle: float) -> None:
    softmax = MarginSoftmax(torch.eye(2))
    embedding = torch.tensor([[torch.cos(torch.tensor(angle)), torch.sin(torch.tensor(angle))]], requires_grad=True)

    softmax(embedding, torch.tensor([0])).backward()

    assert embedding.grad is not None
    assert torch.isfinite(embedding.grad).all()
    assert embedding.grad[0, 0] <= 0

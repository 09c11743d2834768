"""Losses at the points where their value is known."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from streamer.training.losses import FURTHEST, MarginSoftmax, distillation, similarity, unexplained


@pytest.fixture
def embeddings():
    return F.normalize(torch.randn(6, 16, generator=torch.Generator().manual_seed(0)), dim=1)


def test_what_equals_the_teacher_costs_nothing(embeddings):
    assert distillation(embeddings, embeddings) == pytest.approx(0, abs=1e-6)
    assert similarity(embeddings, embeddings) == 0


def test_a_rotation_keeps_the_similarities_but_not_the_embeddings(embeddings):
    turned = embeddings.roll(1, dims=1)

    assert similarity(turned, embeddings) == pytest.approx(0, abs=1e-6)
    assert distillation(turned, embeddings) > 0.1


def test_without_a_margin_it_is_the_plain_softmax(embeddings):
    softmax = MarginSoftmax(torch.randn(4, 16), scale=10.0, margin=0.0)
    labels = torch.tensor([0, 1, 2, 3, 0, 1])

    expected = F.cross_entropy(10 * embeddings @ F.normalize(softmax.weight, dim=1).T, labels)

    torch.testing.assert_close(softmax(embeddings, labels), expected)


def test_the_margin_asks_for_an_angle_more(embeddings):
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
def test_the_slope_is_finite_and_pulls_towards_the_own_class_at_every_angle(angle):
    softmax = MarginSoftmax(torch.eye(2))
    embedding = torch.tensor([[torch.cos(torch.tensor(angle)), torch.sin(torch.tensor(angle))]], requires_grad=True)

    softmax(embedding, torch.tensor([0])).backward()

    assert embedding.grad is not None
    assert torch.isfinite(embedding.grad).all()
    assert embedding.grad[0, 0] <= 0


@pytest.mark.parametrize(("distance", "expected"), [(0.0, 0.0), (1.0, 1.0), (FURTHEST, FURTHEST**2), (10.0, 36.0)])
def test_a_frame_far_out_counts_by_its_distance_not_by_the_square(distance, expected):
    wanted = torch.zeros(1, 4)
    frames = torch.tensor([[distance * 0.6, 0, distance * 0.8, 0]], requires_grad=True)

    loss = unexplained(frames, wanted)
    loss.backward()

    assert loss.item() == pytest.approx(expected, abs=1e-5)
    assert frames.grad is not None
    assert frames.grad.norm().item() == pytest.approx(2 * min(distance, FURTHEST), abs=1e-5)


def test_without_any_frame_nothing_is_unexplained():
    assert unexplained(torch.zeros(0, 4), torch.zeros(0, 4)).item() == 0.0

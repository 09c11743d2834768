"""The student's shortcuts: what they give is what the network gives, and what they teach is what it teaches."""

from __future__ import annotations

import pytest
import torch

from streamer.models.architecture import Architecture
from streamer.models.pooling import Moments
from streamer.models.xvector import XVectorSincNet
from streamer.training.network import Student, WeightedMoments

ARCHITECTURES = {
    "log": Architecture(front="log", norm="batch", dimension=16, attention=True, speech_head=True),
    "plain": Architecture(norm="batch", dimension=16),
}


@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_a_student_embeds_as_its_network_does(architecture):
    torch.manual_seed(0)
    network = XVectorSincNet(architecture).eval()
    student = Student(network, torch.randn(5, 16)).eval()
    waves = 0.1 * torch.randn(3, 12_000)

    with torch.no_grad():
        frames, expected = student.frames(waves), network.frames(waves.unsqueeze(1))
        torch.testing.assert_close(frames.features, expected.features, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(student.embed(frames), network(waves.unsqueeze(1)), rtol=1e-3, atol=1e-4)


def test_pooled_moments_and_their_slopes_are_those_of_the_definition():
    torch.manual_seed(1)
    frames = torch.randn(2, 9, 4, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(2, 9, 1, dtype=torch.float64, requires_grad=True)

    mean, m2 = WeightedMoments.apply(frames, weights)

    expected = Moments.of(frames, weights)
    torch.testing.assert_close(mean, expected.mean)
    torch.testing.assert_close(m2, expected.m2)
    # The constant that keeps the division finite has no part in the slopes: 1e-8 of their size.
    assert torch.autograd.gradcheck(WeightedMoments.apply, (frames, weights), atol=1e-5)

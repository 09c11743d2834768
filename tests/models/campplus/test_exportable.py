"""CAM++ by operations that a file can hold is the same network, for audio of any length and batches of any size."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from streamer.models.campplus.architecture import CamPlusPlusArchitecture
from streamer.models.campplus.convert import of_the_past
from streamer.models.campplus.exportable import FADED, Bank, Exportable, RunningSum
from streamer.models.campplus.network import AT_ONCE, CamPlusPlus
from streamer.models.campplus.surroundings import FRAMES_REMEMBERED, ROWS_REMEMBERED, SEGMENT, running_sum
from streamer.models.fbank import KaldiFilterBank

#: How far apart unit vectors may lie: what sums in another order differ by in float32, ten times over.
APART = 1e-4


def sound(samples: int, batch: int = 1, level: float = 0.1) -> Tensor:
    """Noise that comes and goes."""
    noise = torch.randn(batch, 1, samples, generator=torch.Generator().manual_seed(samples))
    return level * noise * torch.sin(torch.arange(samples) / 3000).abs()


@torch.inference_mode()
def apart(network: CamPlusPlus, waves: Tensor) -> float:
    """The largest distance of both networks' embeddings, brought to unit length."""
    one, two = (made(waves).double() for made in (network, Exportable(network)))
    assert one.shape == two.shape
    normalize = torch.nn.functional.normalize
    return float((normalize(one) - normalize(two)).norm(dim=1).max())


@pytest.fixture(scope="module", params=["as published", "of the past"])
def network(request, campplus, campplus_past):
    model = campplus if request.param == "as published" else campplus_past
    assert isinstance(model.network, CamPlusPlus)
    return model.network


@settings(max_examples=20)
@given(more=st.integers(0, 40_000), batch=st.integers(1, 3))
def test_its_embeddings_are_the_networks(network, more, batch):
    grid = network.architecture.grid
    assert apart(network, sound(grid.num_samples(network.architecture.minimum_frames) + more, batch)) < APART


@pytest.mark.parametrize(
    "frames", [2, 3, SEGMENT // 2 - 6, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, AT_ONCE + 7]
)
def test_the_ends_of_pieces_and_segments_make_no_difference(network, frames):
    assert apart(network, sound(network.architecture.grid.num_samples(frames))) < APART


def test_audio_that_is_long_forgotten_makes_no_difference(campplus_past):
    assert isinstance(campplus_past.network, CamPlusPlus)
    seconds = round(1.2 * FADED * ROWS_REMEMBERED / 100)
    assert apart(campplus_past.network, sound(seconds * 16_000)) < APART


@pytest.mark.parametrize("level", [0.0, 1e-4, 3.0])
def test_neither_silence_nor_a_level_makes_a_difference(network, level):
    assert apart(network, sound(20_000, level=level)) < APART


@pytest.mark.parametrize(
    "values",
    [
        {"context": "window", "attention": True},
        {"context": "past"},
        {"context": "past", "attention": True},
        {"context": "past", "overlap": True},
    ],
    ids=["window, attention", "past", "past, attention", "past, overlap"],
)
def test_whatever_is_chosen_of_it_is_the_same(campplus_past, campplus, values):
    architecture = CamPlusPlusArchitecture.from_dict(values)
    network, generator = CamPlusPlus(architecture), torch.Generator().manual_seed(1)
    state = campplus.network.state_dict()
    if architecture.context == "past":
        state = of_the_past(state, architecture.heard_hz)
    known = campplus_past.network.state_dict() | state
    own = {name: known[name] for name in network.state_dict()}
    if architecture.attention:
        own["attention.weight"] = torch.randn(own["attention.weight"].shape, generator=generator)
    network.load_state_dict(own)
    assert apart(network, sound(30_000)) < APART


@pytest.mark.parametrize("remembered", [ROWS_REMEMBERED, FRAMES_REMEMBERED])
def test_its_running_sum_is_the_recurrence(remembered):
    length = round(1.5 * FADED * remembered)
    block = 1 + torch.rand(length, 2, 3, generator=torch.Generator().manual_seed(0))

    found = RunningSum(remembered)(block.permute(1, 2, 0))

    expected = running_sum(block, torch.zeros(2, 3), remembered).permute(1, 2, 0)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


def test_its_filter_bank_is_kaldis():
    waves = sound(8_000, 2)[:, 0]
    bank = KaldiFilterBank(subtract_mean=False)
    torch.testing.assert_close(Bank(bank)(waves).transpose(1, 2), bank(waves), atol=1e-4, rtol=0)

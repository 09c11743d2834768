"""What teaches a head to tell when more than one speaks."""

from dataclasses import replace
from importlib import resources

import numpy as np
import pytest
import soundfile
import torch

from streamer.engine.campplus.layers import PreparedLayers
from streamer.models.campplus.network import campplus_of
from streamer.models.campplus.overlap import OverlapHead, overlap_of
from streamer.models.carry import Carry
from streamer.models.fbank import GRID
from streamer.models.model import Model
from streamer.training.campplus.disturbance import Disturbance
from streamer.training.campplus.pieces import Pieces
from streamer.training.overlap.floor import FloorPlan
from streamer.training.overlap.mixtures import Mixtures
from streamer.training.overlap.run import early_blocks, folded, learn, levelled, with_head


def drawn(floor: FloorPlan, count: int = 40) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([floor.draw(20.0, 100, rng) for _ in range(count)])


def test_floors_overlap_but_for_the_share_in_which_nobody_does():
    assert (drawn(FloorPlan(alone=1.0)).sum(1) <= 1).all()
    assert 0.1 < (drawn(FloorPlan(alone=0.0)).sum(1) > 1).mean() < 0.5


def test_a_share_of_the_conversations_passes_through_codecs():
    samples, _ = soundfile.read(str(resources.files("streamer.demo") / "carol.ogg"), dtype="int16")
    pieces = Pieces(torch.from_numpy(samples), torch.tensor([0]), torch.tensor([len(samples)]), torch.tensor([0]))

    def draw(coded: float) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(100_000, generator=generator)
        mixtures = Mixtures(pieces, Disturbance(noise, generator), GRID, generator, np.random.default_rng(0))
        return replace(mixtures, coded=coded).draw(6, 5.0)

    plain, speaking = draw(0.0)
    coded, still = draw(1.0)

    assert (speaking == 2).any()
    assert torch.equal(speaking, still)
    apart = (coded - plain).abs().amax(1)
    assert (apart > 1e-3).all()
    # It is the same conversation, and not shifted.
    assert (torch.cosine_similarity(coded, plain) > 0.5).all()


def test_the_early_blocks_are_those_that_the_network_tells_overlaps_by(campplus_past):
    network, waves = campplus_of(campplus_past.network), 0.1 * torch.randn(2, 48_000)

    seen: list[torch.Tensor] = []
    hook = network.overlap.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        network.frames(waves[:, None])
    hook.remove()

    blocks = early_blocks(network, PreparedLayers(network.layers), waves).float()

    expected = seen[-1][network.lag :]
    assert blocks.shape == expected.shape
    # Kept in half precision.
    assert (blocks - expected).abs().max() < 2e-3 * expected.abs().max()


def test_a_head_learns_what_it_is_shown_and_is_put_into_a_model(campplus_past):
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    counts = torch.randint(0, 3, (50, 64), generator=generator).repeat_interleave(10, 0).to(torch.uint8)
    blocks = (3 + torch.randn(500, 64, 256, generator=generator)).half()
    blocks[..., :3] += 8 * torch.nn.functional.one_hot(counts.long(), 3).half()
    mean, deviation = levelled(blocks)
    head = OverlapHead()

    learn(head, (blocks - mean.half()) / deviation.half(), counts, 25.0, generator)
    made = with_head(campplus_past, folded(head, mean, deviation))

    with torch.inference_mode():
        carry = Carry(torch.zeros(64, 96), torch.full((64,), 500), 500)
        told = overlap_of(campplus_of(made.network).overlap(blocks.float(), carry)) > 0.5
    assert (told == (counts == 2))[25:].float().mean() == pytest.approx(1.0, abs=0.1)


def test_a_model_keeps_its_cohort_with_a_new_head(campplus_past):
    model = Model(campplus_past.network, campplus_past.card, np.eye(3, 192, dtype=np.float32))

    assert with_head(model, OverlapHead()).cohort is model.cohort

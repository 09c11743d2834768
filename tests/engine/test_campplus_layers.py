"""Prepared for stepping, CAM++ of the past gives the network's own numbers, whatever its weights and the hops are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from streamer.engine.backbone import Batch
from streamer.engine.campplus import layers, winograd
from streamer.engine.campplus.cached import CamPlusPlusBackbone
from streamer.models.campplus.layers import Activation
from streamer.models.campplus.network import CamPlusPlus, campplus_of
from streamer.models.carry import Carry

#: Of three streams, batch after batch: alike, of one hop, fewer than a tap looks back, and more than one matrix holds.
HOPS = [(7, 7, 7), (1, 1, 1), (1, 2, 30), (2, 2, 2), (1, 3, 70), (4, 4, 4), (5, 5, 5)]


#: By torch's own operations, as on other devices than a CPU with AVX-512, and as on one; slow on others, and right.
WAYS = {"plainly": False, "compiled": True}


@pytest.fixture
def tiled(monkeypatch):
    monkeypatch.setattr(winograd, "pays", lambda _: True)


@pytest.fixture(params=WAYS.values(), ids=WAYS)
def backbone(campplus_past, request, tiled, monkeypatch):
    # The third stream's maps are computed by themselves.
    monkeypatch.setattr(layers, "MAPS_AT_ONCE", 2)
    return CamPlusPlusBackbone(campplus_of(campplus_past.network), request.param)


def batches(seed: int = 0) -> list[tuple[Tensor, Tensor, int | None]]:
    """Waves, hops and their common number."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for hops in HOPS:
        waves = 0.1 * torch.randn(len(hops), (max(hops) - 1) * 320 + 560, generator=generator)
        found.append((waves, torch.tensor(hops), hops[0] if len(set(hops)) == 1 else None))
    return found


def stepped(backbone: CamPlusPlusBackbone) -> tuple[list[Tensor], Tensor]:
    """The frames of each batch, and what is carried over in the end."""
    rows, blocks = backbone.new_carry()[None].repeat(3, 1), []
    with torch.inference_mode():
        for waves, hops, common in batches():
            carry = Carry(rows, hops, common)
            blocks.append(backbone.advance(waves, Batch(carry, np.zeros(3, np.int64), [{}] * 3)).features)
            rows = carry.next_rows()
            assert carry.offset == rows.shape[1] == backbone.new_carry().numel()
    return blocks, rows


def of_network(network: CamPlusPlus) -> list[Tensor]:
    rows, blocks = network.new_carry()[None].repeat(3, 1), []
    with torch.inference_mode():
        for waves, hops, common in batches():
            carry = Carry(rows, hops, common)
            blocks.append(network.advance(waves, int(hops.max()), carry)[0])
            rows = carry.next_rows()
    return blocks


def test_frames_are_the_networks_own_in_any_batches(backbone):
    found, _ = stepped(backbone)

    for block, expected, hops in zip(found, of_network(backbone.network), HOPS, strict=True):
        own = torch.arange(max(hops))[:, None] < torch.tensor(hops)
        # What rounding differs by grows through 52 layers.
        assert (block - expected)[own].abs().max() < 1e-4 * expected[own].abs().max()
        assert (block - expected)[own].norm() < 1e-5 * expected[own].norm()


def test_a_stream_may_go_on_where_the_other_way_of_computing_left_it(campplus_past, tiled):
    network = campplus_of(campplus_past.network)
    kept = [stepped(CamPlusPlusBackbone(network, way))[1] for way in WAYS.values()]

    assert (kept[0] - kept[1]).abs().max() < 1e-4 * kept[0].abs().max()
    assert (kept[0] - kept[1]).norm() < 1e-5 * kept[0].norm()


def test_a_state_is_smaller_than_the_networks_own(campplus_past):
    backbone = CamPlusPlusBackbone(campplus_of(campplus_past.network))
    assert backbone.new_carry().nbytes < 0.8 * backbone.network.new_carry().nbytes


def test_a_norm_of_any_sign_or_none_is_folded_into_what_follows():
    activation = Activation(6)
    scale, shift = [1.5, -0.5, 0.0, 0.0, 1e-38, -1e-38], [0.3, 0.4, 2.0, -2.0, 1.0, -1.0]
    activation.load_state_dict({"scale": torch.tensor(scale), "shift": torch.tensor(shift)})
    block = 3 * torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    weight, bias = torch.randn(4, 6, generator=torch.Generator().manual_seed(1)), torch.arange(4.0)

    with torch.inference_mode():
        found = layers.FoldedLinear(activation, weight, bias)(block)
        expected = activation(block) @ weight.t() + bias

    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)

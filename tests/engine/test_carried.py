"""What layers carry over among the rows of all streams, against the same taken apart and put together as a whole."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.engine.layers import Affine
from streamer.engine.sincnet.layers import SLOPE, max_pool, pool_and_activate
from streamer.engine.slots.carried import StoredCarry
from streamer.models.carry import Carry, NoCarry

CAPACITY, CHANNELS = 7, 3
#: How a layer gets at its past, the context it needs, its positions a hop, and the type of its blocks.
LAYERS = st.tuples(
    st.sampled_from(["room", "extend", "take"]),
    st.integers(0, 5),
    st.sampled_from([1, 3]),
    st.sampled_from([torch.float32, torch.bfloat16]),
)


def through(carry: Carry, layer: tuple[str, int, int, torch.dtype], block: torch.Tensor) -> torch.Tensor:
    """What a layer sees of a block."""
    way, context, rate, dtype = layer
    if way == "room":
        seen = carry.room(block, len(block), CHANNELS, context)
        seen[context:] = block
        carry.remember(seen, context, rate)
    elif way == "extend":
        seen = carry.extend(block, context, rate)
    else:
        seen = torch.cat([carry.take(context, CHANNELS).to(dtype), block])
        carry.keep(seen, context, rate)
    return seen


@settings(deadline=None)
@given(
    layers=st.lists(LAYERS, min_size=1, max_size=5),
    slots=st.permutations(range(CAPACITY)),
    hops=st.lists(st.integers(1, 4), min_size=1, max_size=CAPACITY),
    compiled=st.booleans(),
    seed=st.integers(0, 99),
)
def test_what_is_carried_is_the_same_wherever_it_lies(layers, slots, hops, compiled, seed):  # type: ignore[no-untyped-def]
    generator = torch.Generator().manual_seed(seed)
    size = sum(context * CHANNELS for _, context, _, _ in layers)
    stored = torch.randn(CAPACITY, size, generator=generator).bfloat16().float()
    before, streams = stored.clone(), torch.tensor(slots[: len(hops)])
    counts, common = torch.tensor(hops), hops[0] if len(set(hops)) == 1 else None
    expected = Carry(before[streams], counts, common)
    carry = StoredCarry(stored, streams, counts, common, compiled)

    for layer in layers:
        block = torch.randn(max(hops) * layer[2], len(hops), CHANNELS, generator=generator).to(layer[3])
        assert torch.equal(through(carry, layer, block), through(expected, layer, block))
    carry.put_back()

    assert torch.equal(stored[streams], expected.next_rows().float())
    others = [slot for slot in range(CAPACITY) if slot not in slots[: len(hops)]]
    assert torch.equal(stored[others], before[others])


def test_a_whole_window_has_no_past_to_make_room_for():
    block = torch.randn(6, 2, CHANNELS)

    room = NoCarry().room(block, 4, 5, context=3)
    NoCarry().remember(room, 3, 1)

    assert room.shape == (4, 2, 5)


@pytest.mark.parametrize("time", [3, 54, 56])
def test_pooling_and_activating_in_one_pass_is_what_torch_does(time):
    generator = torch.Generator().manual_seed(time)
    outputs, (scale, shift) = torch.randn(time, 5, 60, generator=generator), torch.randn(2, 60, generator=generator)
    # What is no number stays none, wherever among the three it is.
    outputs[:3, 0, :3] = torch.where(torch.eye(3).bool(), torch.nan, outputs[:3, 0, :3])
    found = torch.empty(time // 3, 5, 60)

    pool_and_activate(outputs.numpy(), scale.numpy(), shift.numpy(), found.numpy())

    expected = torch.nn.functional.leaky_relu(Affine(scale, shift)(max_pool(outputs)), SLOPE)
    assert found[0, 0, :3].isnan().all()
    torch.testing.assert_close(found, expected, equal_nan=True)

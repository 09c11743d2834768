"""Streams are slots in arrays: nothing of who had one before is left in it, and nothing is done once a stream."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from steps import RATE, assert_same, noise
from torch.utils._python_dispatch import TorchDispatchMode

from streamer.engine.cached import CachedStepper
from streamer.engine.campplus import cached as campplus_cached
from streamer.engine.campplus import layers as campplus_layers
from streamer.engine.incremental import Block, IncrementalModel
from streamer.engine.slots.store import Store
from streamer.engine.slots.table import Slots
from streamer.engine.window import Step
from streamer.models import sinc

CACHED = ["frame local", "frame local, by tensors", "toy that remembers", "campplus of the past"]


@pytest.fixture(scope="module", params=CACHED)
def cached(request, engine_of):  # type: ignore[no-untyped-def]
    found: IncrementalModel = engine_of(request.param)
    return found


def store_of(engine: IncrementalModel) -> Store:
    stepper = engine._stepper
    assert isinstance(stepper, CachedStepper)
    return stepper.store


@settings(deadline=None)
@given(moves=st.lists(st.integers(-5, 5), max_size=30))
def test_no_two_have_a_slot_at_once_and_arrays_are_as_large_as_need_be(moves):
    slots, taken, most = Slots({"row": torch.full((2,), 7.0)}, {"clock": np.array(3, np.int64)}), list[int](), 0

    for move in moves:
        for number in taken[:-move] if move < 0 else []:
            slots.give_back(number)
        taken = taken[-move:] if move < 0 else taken
        if move > 0:
            new = slots.take(move)
            assert (slots["row"][new] == 7).all() and (slots.on_host("clock")[new] == 3).all()
            slots["row"][new] = 1.0
            slots.on_host("clock")[new] = 0
            taken += new.tolist()
        most = len(taken) if len(taken) > most else most if taken else 0

        assert len(set(taken)) == len(taken) == slots.taken
        assert slots.capacity == (1 << (most - 1).bit_length() if most else 0)


def test_a_slot_that_is_used_again_has_nothing_of_who_had_it_before(cached):
    gc.collect()  # so that no stream of another test goes while this one waits for its own
    samples = noise(2.3, seed=3)
    expected = cached.open((0.5, 1.0), 0.5).push(samples)
    stay, go = cached.open((0.5, 1.0), 0.5), cached.open((0.5, 1.0), 0.5)
    cached.step([Block(stream, noise(0.5, seed)) for seed, stream in enumerate((stay, go))])
    # A gap, and a step that it is in the middle of: what is not in arrays, too.
    go.gap(go.position + 1000)
    go.push(noise(0.1))
    slot = go.state.slot

    del go
    gc.collect()
    comes = cached.open((0.5, 1.0), 0.5)
    found = comes.push(samples)

    assert comes.state.slot == slot
    assert_same(found, expected, tolerance=1e-6)


def test_streams_keep_what_they_have_while_others_come_and_the_arrays_grow(cached):
    sounds = [noise(1.5, seed) for seed in range(9)]
    expected = [cached.open((1.0,), 0.5).push(sound) for sound in sounds]
    streams = [cached.open((1.0,), 0.5) for _ in sounds]
    found: list[list[Step]] = [[] for _ in sounds]

    # One more with each step, until all have come; the first are through by then.
    for step in range(len(sounds) + 2):
        blocks = {}
        for place, stream in enumerate(streams[: step + 1]):
            if (start := (step - place) * RATE // 2) < len(sounds[place]):
                blocks[place] = Block(stream, sounds[place][start : start + RATE // 2])
        for place, outcome in zip(blocks, cached.step(list(blocks.values())), strict=True):
            assert isinstance(outcome, Step)
            found[place].append(outcome)

    for one, same in zip(found, expected, strict=True):
        assert_same(one, same)


def test_the_memory_of_streams_that_left_is_used_again_or_given_back(local_model):
    engine = IncrementalModel(local_model, speech="off")
    store, capacities = store_of(engine), []

    for _ in range(3):
        streams = [engine.open((1.0,), step) for step in (0.25, 0.5) for _ in range(5)]
        for stream in streams:
            stream.push(noise(0.6))
        capacities.append(store.streams.capacity)
        del streams, stream
        gc.collect()
    last = engine.open((1.0,), 0.5)
    last.push(noise(0.6))

    assert capacities == [16, 16, 16]
    assert store.streams.capacity == 1
    assert [cells is not None for cells in store.kinds].count(True) == 1


class Operations(TorchDispatchMode):
    """Counts the tensor operations there are, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.counts[str(function)] += 1
        return function(*args, **(kwargs or {}))


def step_of(engine: IncrementalModel, streams: int) -> tuple[Counter[str], int]:
    """Tensor operations of a step of so many streams that have windows, and calls of Python functions of ours."""
    opened = [engine.open((0.5, 1.0), 0.5) for _ in range(streams)]
    for second in range(3):
        engine.step([Block(stream, noise(0.5, second)) for stream in opened])
    blocks = [Block(stream, noise(0.5, 9)) for stream in opened]
    calls = 0

    def count(frame: Any, event: str, _: object) -> None:
        nonlocal calls
        calls += event == "call" and "/streamer/engine/" in frame.f_code.co_filename

    with Operations() as operations:
        sys.setprofile(count)
        try:
            outcomes = engine.step(blocks)
        finally:
            sys.setprofile(None)
    assert all(isinstance(outcome, Step) and len(outcome.windows) == 2 for outcome in outcomes)
    return operations.counts, calls


@pytest.mark.parametrize("kind", CACHED)
def test_a_step_takes_as_many_operations_however_many_streams_there_are(
    engine_of,  # type: ignore[no-untyped-def]
    kind,
    monkeypatch,
):
    engine = engine_of(kind)
    # All at once, as on a GPU: a CPU computes them in groups that fit its cache.
    engine._stepper.at_once = 10_000
    monkeypatch.setattr(sinc, "BLOCK_WINDOWS", 1_000_000)
    monkeypatch.setattr(campplus_cached, "BANK_AT_ONCE", 1000)
    monkeypatch.setattr(campplus_layers, "MAPS_AT_ONCE", 1000)
    few, calls_of_few = step_of(engine, 2)
    many, calls_of_many = step_of(engine, 32)

    assert many == few
    # What is handed out is made of Python's objects: the moments of a step's frames, and no more.
    assert calls_of_many - calls_of_few <= 2 * 30


def test_no_step_waits_for_the_device_in_its_middle(engine_of):  # type: ignore[no-untyped-def]
    operations, _ = step_of(engine_of("frame local, by tensors"), 4)

    waiting = [
        name for name in operations if any(part in name for part in ("_local_scalar_dense", "nonzero", "masked_select"))
    ]
    assert operations["aten.index_copy_.default"] > 0
    assert waiting == []

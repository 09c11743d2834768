"""On every device there is, streams come out as they do on a CPU."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from steps import RATE, assert_same, deviation, noise, windows_of
from toy import TOYS, toy_model

from streamer.engine.incremental import Block, IncrementalModel
from streamer.engine.window import Step
from streamer.errors import StreamFailed

#: Float32 sums of thousands of terms, in another order.
TOLERANCE = 1e-4
KINDS = ["frame local", "window norms", "campplus of the past", "campplus", "toy that remembers"]


@pytest.fixture(params=KINDS)
def model(request, pyannote_model, local_model, campplus, campplus_past):
    models = {
        "frame local": local_model,
        "window norms": pyannote_model,
        "campplus": campplus,
        "campplus of the past": campplus_past,
        "toy that remembers": toy_model(TOYS["toy that remembers"]),
    }
    # To be moved: other tests have theirs on the CPU.
    return copy.deepcopy(models[request.param])


def stepped(engine: IncrementalModel, sounds: list[np.ndarray]) -> list[list[Step]]:
    """Streams of different lengths and phases, stepped together, one of them with a gap in it."""
    streams = [engine.open((0.5, 1.0), 0.5) for _ in sounds]
    found: list[list[Step]] = [[] for _ in sounds]
    together = list(zip(streams, sounds, strict=True))
    blocks = [stream.cut(sound[: RATE + 400 * place]) for place, (stream, sound) in enumerate(together)]
    blocks[0] += streams[0].skip(RATE + 7000)
    for stream, sound, waiting in zip(streams, sounds, blocks, strict=True):
        waiting += [*stream.cut(sound[stream.received :]), *stream.rest()]
    while any(blocks):
        now = [place for place, waiting in enumerate(blocks) if waiting]
        for place, outcome in zip(now, engine.step([blocks[place].pop(0) for place in now]), strict=True):
            assert outcome is None or isinstance(outcome, Step)
            found[place] += [outcome] if isinstance(outcome, Step) else []
    return found


def test_streams_come_out_as_on_a_cpu(model, device):
    sounds = [noise(2.2 + 0.1 * seed, seed) for seed in range(5)]
    expected = stepped(IncrementalModel(copy.deepcopy(model), device="cpu"), sounds)

    found = stepped(IncrementalModel(model, device=device), sounds)

    for one, other in zip(found, expected, strict=True):
        assert_same(one, other, TOLERANCE)
        for step, same in zip(one, other, strict=True):
            if step.block is not None and same.block is not None:
                np.testing.assert_allclose(step.block.mean, same.block.mean, rtol=1e-3, atol=1e-3)


def test_a_stream_goes_from_device_to_device_by_its_snapshot(model, device):
    samples = noise(2.3, seed=4)
    on_cpu, there = IncrementalModel(copy.deepcopy(model), device="cpu"), IncrementalModel(model, device=device)
    expected = on_cpu.open((1.0,), 0.5).push(samples)

    first = there.open((1.0,), 0.5)
    found = first.push(samples[:12_345])
    second = on_cpu.restore(first.snapshot())
    found += second.push(samples[12_345:20_000])
    third = there.restore(second.snapshot())
    found += third.push(samples[20_000:])

    assert_same(found, expected, TOLERANCE)


def test_exact_float32_does_not_hang_on_what_torch_is_allowed(model, device):
    expected = windows_of(IncrementalModel(copy.deepcopy(model), device="cpu").open((1.0,), 0.5).push(noise(2)))
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        found = windows_of(IncrementalModel(model, device=device).open((1.0,), 0.5).push(noise(2)))
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)

    for one, other in zip(found, expected, strict=True):
        assert deviation(one.embedding, other.embedding) < TOLERANCE


@pytest.mark.parametrize("precision", ["bfloat16", "tf32"])
def test_lower_precisions_stay_close(local_model, device, precision):
    if precision == "tf32" and device == "cpu":
        pytest.skip("a CPU has no TF32")
    sound = noise(2, seed=1)
    expected = windows_of(IncrementalModel(copy.deepcopy(local_model), device="cpu").open((1.0,), 0.5).push(sound))
    engine = IncrementalModel(copy.deepcopy(local_model), device=device, precision=precision)

    for one, other in zip(windows_of(engine.open((1.0,), 0.5).push(sound)), expected, strict=True):
        assert deviation(one.embedding, other.embedding) < 0.05


def test_a_stream_that_breaks_takes_no_other_with_it(local_model, device):
    engine = IncrementalModel(copy.deepcopy(local_model), device=device, speech="off")
    broken, sound = engine.open((0.5, 1.0), 0.5), engine.open((0.5, 1.0), 0.5)
    samples, found, outcomes = noise(2, seed=2), [], []
    engine.step([Block(broken, samples[:8000]), Block(sound, samples[:8000])])
    # A fault of the arithmetic, in one stream's row.
    store = engine._stepper.store  # type: ignore[attr-defined]
    store.streams["carry"][broken.state.slot] = torch.nan

    for start in (8000, 16_000, 24_000):
        outcome, step = engine.step([Block(stream, samples[start : start + 8000]) for stream in (broken, sound)])
        outcomes.append(outcome)
        assert isinstance(step, Step)
        found.append(step)

    assert isinstance(outcomes[0], StreamFailed) and "sample 16000 has no finite embedding" in str(outcomes[0])
    expected = engine.open((0.5, 1.0), 0.5).push(samples)[1:]
    assert_same(found, expected, TOLERANCE)

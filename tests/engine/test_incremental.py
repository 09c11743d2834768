"""The synchronous core: what it says depends on the samples alone, and is what the network says of them offline."""

from __future__ import annotations

import itertools
from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from steps import RATE, assert_same, deviation, noise, windows_of

from streamer.engine.batching import group_sizes, padded_hops
from streamer.engine.incremental import Block, IncrementalModel, IncrementalStream
from streamer.engine.window import Step
from streamer.models.architecture import Architecture
from streamer.models.model import Model, ModelCard
from streamer.models.xvector import XVectorSincNet

#: Float32 sums in another order; `exact` normalises by statistics summed in another order besides.
TOLERANCE = {"cached": 1e-5, "exact": 1e-4}
PAIRS = [((3.0,), 1.0), ((1.0, 3.0), 0.25), ((0.5, 1.3), 0.1)]
COMPANIONS = [((1.0,), 0.5), ((0.5, 1.0), 0.25), ((0.6, 1.2), 0.3)]


def calibrated(model: Model, samples: np.ndarray) -> Model:
    """The same model, its BatchNorms with the statistics of these samples, as training would leave them."""
    network = deepcopy(model.network).train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.momentum = 1.0
    for _ in range(8):  # a layer's statistics settle once those before it have
        network(torch.from_numpy(samples)[None, None])
    return Model(network, model.card)


@pytest.mark.parametrize(("durations", "step"), PAIRS, ids=lambda value: str(value))
def test_a_window_is_what_the_network_says_of_its_samples(forgetful, durations, step):
    engine, samples = forgetful, noise(4.2)
    stream = engine.open(durations, step)

    found = windows_of(stream.push(samples) + stream.finish())

    assert len(found) > 3 * len(durations)
    found = found[:: max(1, len(found) // 12)]
    for window in found:
        heard = torch.from_numpy(samples[window.start_sample : window.end_sample])
        offline = engine.model(heard[None, None])[0].numpy()
        assert deviation(window.embedding, offline) < TOLERANCE[engine.mode]


def test_a_rectified_front_with_fixed_norms_is_cached_exactly(pyannote_model):
    """The architecture between our own and pyannote's, which has a norm of the waveform with statistics of its own."""
    samples = noise(3.1)
    network = XVectorSincNet(Architecture(norm="batch", dimension=16))
    missing = network.load_state_dict(
        {name: value for name, value in pyannote_model.network.state_dict().items() if "embedding" not in name},
        strict=False,
    )
    assert not missing.unexpected_keys
    model = calibrated(Model(network, pyannote_model.card), samples)
    engine = IncrementalModel(model, speech="off")

    (window,) = windows_of(engine.open((1.0,), 1.0).push(samples)[-1:])

    heard = torch.from_numpy(samples[window.start_sample : window.end_sample])
    assert engine.mode == "cached"
    assert deviation(window.embedding, model(heard[None, None])[0].numpy()) < TOLERANCE["cached"]


def test_a_full_window_misses_less_than_one_stride_at_each_end(engine):
    stream, stride = engine.open((1.0, 3.0), 0.5), engine.model.grid.stride

    for step in stream.push(noise(8)):
        for window in step.windows:
            if not window.partial:
                assert 0 <= window.start_sample - (step.end_sample - window.duration_s * RATE) < stride
                assert 0 <= step.end_sample - window.end_sample < stride


@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(0, 36_001), max_size=8), seed=st.integers(0, 3))
def test_any_chunking_gives_the_same_steps(engine, cuts, seed):
    samples = noise(36_001 / RATE, seed)
    whole = engine.open((0.5, 1.0), 0.5)
    expected = whole.push(samples) + whole.finish()

    stream = engine.open((0.5, 1.0), 0.5)
    edges = [0, *sorted(cuts), len(samples)]
    found = [step for start, end in itertools.pairwise(edges) for step in stream.push(samples[start:end])]
    found += stream.finish()

    assert_same(found, expected)


def test_chunks_of_one_sample_give_the_same_steps(local_model):
    engine, samples = IncrementalModel(local_model, speech="off"), noise(1.1)
    expected = engine.open((0.5,), 0.25).push(samples)

    stream = engine.open((0.5,), 0.25)
    found = [step for sample in samples for step in stream.push(sample[None])]

    assert_same(found, expected)


@dataclass
class Driven:
    """A stream, what it is to hear, and what it has said."""

    stream: IncrementalStream
    samples: np.ndarray
    heard: int = 0
    said: list[Step] = field(default_factory=list)


def step_together(engine: IncrementalModel, driven: list[Driven], blocks: list[Block]) -> None:
    for block, outcome in zip(blocks, engine.step(blocks), strict=True):
        if isinstance(outcome, Step):
            next(one for one in driven if one.stream is block.stream).said.append(outcome)


@settings(max_examples=4, deadline=None)
@given(data=st.data())
def test_batch_companions_do_not_matter(engine, data):
    driven = [Driven(engine.open(*COMPANIONS[n]), noise(1.6 + 0.3 * n, n)) for n in range(3)]

    while waiting := [one for one in driven if one.heard < len(one.samples)]:
        chosen = data.draw(st.lists(st.sampled_from(range(len(waiting))), min_size=1, unique=True))
        blocks = []
        for one in (waiting[index] for index in chosen):
            missing = one.stream.boundary - one.stream.received
            blocks += one.stream.cut(one.samples[one.heard : one.heard + missing])
            one.heard += missing
        step_together(engine, driven, blocks)

    for n, one in enumerate(driven):
        assert_same(one.said, engine.open(*COMPANIONS[n]).push(one.samples), TOLERANCE[engine.mode])


@pytest.mark.parametrize("kind", ["local_model", "pyannote_model"])
def test_a_crowd_of_uneven_streams_is_what_each_is_alone(kind, request):
    # They are computed in groups of some sizes, and padded to some lengths; these end at different places in a step.
    engine = IncrementalModel(request.getfixturevalue(kind), "cached", speech="off")
    crowd = [Driven(engine.open((0.5,), 0.5), noise(1.0 + n / 80, n)) for n in range(37)]

    turns = itertools.zip_longest(*(one.stream.cut(one.samples) + one.stream.rest() for one in crowd))
    for turn in turns:
        step_together(engine, crowd, [block for block in turn if block is not None])

    for one in crowd:
        alone = engine.open((0.5,), 0.5)
        assert_same(one.said, alone.push(one.samples) + alone.finish())


def test_what_is_computed_at_once_has_few_sizes():
    lengths = {padded_hops(hops, RATE, 270) for hops in range(1, 61)}
    sizes = {size for streams in range(1, 200) for size in group_sizes(streams, 17)}

    assert lengths == {1, 2, 4, 8, 15, 30, 60}
    assert sizes == {1, 2, 3, 4, 6, 8, 12, 16}
    assert all(padded_hops(hops, RATE, 270) >= hops for hops in range(1, 61))
    assert all(sum(group_sizes(streams, 17)) == streams for streams in range(1, 200))


def test_exact_mode_weighs_frames_by_the_networks_attention():
    torch.manual_seed(3)
    model = Model(XVectorSincNet(Architecture("rectified", "instance", attention=True)), ModelCard("attends"))
    with torch.no_grad():
        model.network.attention.weight.mul_(50)  # or it would hardly tell frames apart
    samples = noise(2.0)

    window = windows_of(IncrementalModel(model, speech="off").open((2.0,), 1.0).push(samples))[-1]

    assert deviation(window.embedding, model(torch.from_numpy(samples)[None, None])[0].numpy()) < 1e-4


def test_the_last_incomplete_step_is_flushed(engine):
    stream = engine.open((1.0,), 1.0)
    stream.push(noise(2.4))

    (last,) = stream.finish()

    assert (last.start_sample, last.end_sample, last.partial) == (32_000, 38_400, True)
    assert stream.finish() == []


def test_windows_come_once_there_is_a_second_of_speech(engine):
    ends = [step.end_sample for step in engine.open((3.0,), 0.5).push(noise(4)) if step.windows]
    partial = [window.partial for window in windows_of(engine.open((3.0,), 0.5).push(noise(4)))]

    assert ends[0] in (16_000, 24_000)  # the frames of the first second see a little less than a second
    assert partial == [True] * (len(partial) - 3) + [False] * 3


def test_a_stream_costs_at_most_a_megabyte(engine):
    stream = engine.open((3.0,), 1.0)
    stream.push(noise(10))

    assert 1_000 < stream.nbytes <= 2**20


def test_what_a_stream_costs_does_not_grow(engine):
    stream = engine.open((0.5,), 0.1)
    sizes = []
    for second in range(6):
        stream.push(noise(0.5, second))
        sizes.append(stream.nbytes)

    # Up to one cell more or less is open at the end of a step.
    assert max(sizes[3:]) <= 1.25 * min(sizes[3:])


def test_the_speech_head_weighs_the_frames(local_model):
    samples = noise(4)
    stream = IncrementalModel(local_model, speech="head").open((1.0,), 1.0)

    steps = stream.push(samples)

    wave = torch.from_numpy(samples)
    speech = local_model.network.frames(wave[None, None]).speech.sigmoid()[0].detach().numpy()  # type: ignore[union-attr]
    heard = np.concatenate([step.speech for step in steps if step.speech is not None])
    np.testing.assert_allclose(heard, speech[: len(heard)], atol=1e-5)
    for window in windows_of(steps):
        first = window.start_sample // 270
        count = local_model.grid.num_frames(window.end_sample - window.start_sample)
        heard = wave[window.start_sample : window.end_sample]
        weights = torch.from_numpy(speech[first : first + count])[None]
        assert deviation(window.embedding, local_model(heard[None, None], weights)[0].numpy()) < 1e-5
        assert window.speech_s == pytest.approx(weights.mean().item() * len(heard) / RATE, rel=1e-4)


def test_blocks_pool_to_the_embedding_of_the_whole(local_model):
    samples = noise(5)
    steps = IncrementalModel(local_model, speech="off").open((1.0,), 1.0).push(samples)
    from streamer.models.pooling import Moments

    blocks = [step.block for step in steps if step.block is not None]
    parts = zip(*[(block.weight, block.weight2, block.mean, block.m2) for block in blocks], strict=True)
    merged = Moments(*[np.stack(part) for part in parts]).merged()

    whole = local_model(torch.from_numpy(samples)[None, None])[0].numpy()
    assert deviation(local_model.embed(merged), whole) < 1e-5


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_lower_precision_stays_close(local_model, precision):
    samples = noise(3)
    model = calibrated(local_model, samples)
    plain = windows_of(IncrementalModel(model, speech="off").open((1.0,), 1.0).push(samples))
    low = windows_of(IncrementalModel(model, precision=precision, speech="off").open((1.0,), 1.0).push(samples))  # type: ignore[arg-type]

    for one, other in zip(low, plain, strict=True):
        cosine = one.embedding @ other.embedding / np.linalg.norm(one.embedding) / np.linalg.norm(other.embedding)
        assert 0.99 < cosine < 1.0


def test_on_every_device(local_model, device):
    samples = noise(2)
    expected = IncrementalModel(local_model, speech="off").open((1.0,), 0.5).push(samples)

    found = IncrementalModel(local_model, speech="off", device=device).open((1.0,), 0.5).push(samples)

    assert_same(found, expected, 1e-4)

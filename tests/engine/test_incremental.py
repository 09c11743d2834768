"""The synchronous core: what it says depends on the samples alone, and is what the network says of them offline."""

from __future__ import annotations

import contextlib
import itertools
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.engine.incremental import Block, IncrementalModel, IncrementalStream
from streamer.engine.settings import WindowSettings
from streamer.engine.state import Snapshot
from streamer.engine.window import Step, Window
from streamer.errors import AudioNotFinite, ConfigurationError, StateMismatch, StreamClosed
from streamer.models.architecture import FRAME_GRID, Architecture
from streamer.models.model import Model, ModelCard
from streamer.models.xvector import XVectorSincNet

RATE = 16_000
#: Float32 sums in another order; `exact` normalises by statistics summed in another order besides.
TOLERANCE = {"cached": 1e-5, "exact": 1e-4}
PAIRS = [((3.0,), 1.0), ((1.0, 3.0), 0.25), ((0.5, 1.3), 0.1)]
COMPANIONS = [((1.0,), 0.5), ((0.5, 1.0), 0.25), ((0.6, 1.2), 0.3)]


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise whose level and colour wander, so that neighbouring windows differ."""
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal(round(seconds * RATE))
    swell = 0.05 + 0.04 * np.sin(np.arange(len(samples)) / RATE * rng.uniform(2, 5))
    return (np.convolve(samples, rng.standard_normal(9), "same") * swell).astype(np.float32)


def windows_of(steps: list[Step]) -> list[Window]:
    return [window for step in steps for window in step.windows]


def placed(windows: list[Window]) -> list[tuple[int, int, float, bool]]:
    return [(window.start_sample, window.end_sample, window.duration_s, window.partial) for window in windows]


def deviation(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max() / np.abs(other).max())


def assert_same(found: list[Step], expected: list[Step], tolerance: float = 1e-5) -> None:
    assert [(step.start_sample, step.end_sample) for step in found] == [
        (step.start_sample, step.end_sample) for step in expected
    ]
    assert placed(windows_of(found)) == placed(windows_of(expected))
    for one, other in zip(windows_of(found), windows_of(expected), strict=True):
        assert deviation(one.embedding, other.embedding) < tolerance
    for step, same in zip(found, expected, strict=True):
        assert step.level_db == pytest.approx(same.level_db)
        np.testing.assert_allclose(step.speech, same.speech, atol=1e-5) if same.speech is not None else None


def calibrated(model: Model, samples: np.ndarray) -> Model:
    """The same model, its BatchNorms with the statistics of these samples, as training would leave them."""
    network = deepcopy(model.network).train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.momentum = 1.0
    for _ in range(8):  # a layer's statistics settle once those before it have
        network(torch.from_numpy(samples)[None, None])
    return Model(network, model.card)


@pytest.fixture(scope="module")
def engine(any_model: Model) -> IncrementalModel:
    return IncrementalModel(any_model, speech="off")


@pytest.mark.parametrize(("durations", "step"), PAIRS, ids=lambda value: str(value))
def test_a_window_is_what_the_network_says_of_its_samples(
    engine: IncrementalModel, durations: tuple[float, ...], step: float
) -> None:
    samples = noise(4.2)
    stream = engine.open(durations, step)

    found = windows_of(stream.push(samples) + stream.finish())

    assert len(found) > 3 * len(durations)
    found = found[:: max(1, len(found) // 12)]
    for window in found:
        piece = torch.from_numpy(samples[window.start_sample : window.end_sample])
        offline = engine.model(piece[None, None])[0].numpy()
        assert deviation(window.embedding, offline) < TOLERANCE[engine.mode]


def test_a_rectified_front_with_fixed_norms_is_cached_exactly(pyannote_model: Model) -> None:
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

    piece = torch.from_numpy(samples[window.start_sample : window.end_sample])
    assert engine.mode == "cached"
    assert deviation(window.embedding, model(piece[None, None])[0].numpy()) < TOLERANCE["cached"]


def test_a_full_window_misses_less_than_one_stride_at_each_end(engine: IncrementalModel) -> None:
    stream = engine.open((1.0, 3.0), 0.5)

    for step in stream.push(noise(8)):
        for window in step.windows:
            if not window.partial:
                assert 0 <= window.start_sample - (step.end_sample - window.duration_s * RATE) < 270
                assert 0 <= step.end_sample - window.end_sample < 270


@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(0, 36_001), max_size=8), seed=st.integers(0, 3))
def test_any_chunking_gives_the_same_steps(engine: IncrementalModel, cuts: list[int], seed: int) -> None:
    samples = noise(36_001 / RATE, seed)
    whole = engine.open((0.5, 1.0), 0.5)
    expected = whole.push(samples) + whole.finish()

    stream = engine.open((0.5, 1.0), 0.5)
    edges = [0, *sorted(cuts), len(samples)]
    found = [step for start, end in itertools.pairwise(edges) for step in stream.push(samples[start:end])]
    found += stream.finish()

    assert_same(found, expected)


def test_chunks_of_one_sample_give_the_same_steps(local_model: Model) -> None:
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


@settings(max_examples=4, deadline=None)
@given(data=st.data())
def test_batch_companions_do_not_matter(engine: IncrementalModel, data: st.DataObject) -> None:
    driven = [Driven(engine.open(*COMPANIONS[n]), noise(1.6 + 0.3 * n, n)) for n in range(3)]

    while waiting := [one for one in driven if one.heard < len(one.samples)]:
        chosen = data.draw(st.lists(st.sampled_from(range(len(waiting))), min_size=1, unique=True))
        blocks = []
        for one in (waiting[index] for index in chosen):
            missing = one.stream.boundary - one.stream.received
            blocks += one.stream.cut(one.samples[one.heard : one.heard + missing])
            one.heard += missing
        for block, outcome in zip(blocks, engine.step(blocks), strict=True):
            if isinstance(outcome, Step):
                next(one for one in driven if one.stream is block.stream).said.append(outcome)

    for n, one in enumerate(driven):
        assert_same(one.said, engine.open(*COMPANIONS[n]).push(one.samples), TOLERANCE[engine.mode])


@settings(max_examples=6, deadline=None)
@given(cut=st.integers(0, 36_000))
def test_snapshot_and_restore_anywhere_changes_nothing(engine: IncrementalModel, cut: int) -> None:
    samples = noise(36_000 / RATE)
    whole = engine.open((0.5, 1.0), 0.5)
    expected = whole.push(samples) + whole.finish()

    first = engine.open((0.5, 1.0), 0.5)
    found = first.push(samples[:cut])
    second = engine.restore(first.snapshot())
    found += second.push(samples[cut:]) + second.finish()

    assert_same(found, expected)


def test_a_snapshot_between_the_steps_of_one_chunk_goes_on_from_what_was_stepped(engine: IncrementalModel) -> None:
    samples = noise(36_800 / RATE)
    expected = engine.open((0.5, 1.0), 0.5).push(samples)
    stream = engine.open((0.5, 1.0), 0.5)
    first, *waiting = stream.cut(samples)
    (step,) = engine.step([first])

    restored = engine.restore(stream.snapshot())

    assert waiting and isinstance(step, Step)
    assert restored.received == restored.position == 8000
    assert_same([step, *restored.push(samples[restored.received :])], expected)


def test_a_snapshot_that_cannot_be_is_refused(local_model: Model) -> None:
    engine = IncrementalModel(local_model, speech="off")
    stream = engine.open((1.0,), 0.5)
    stream.push(noise(1.3))
    data = stream.snapshot()
    whole = Snapshot.from_bytes(data)
    shifted = replace(whole, values={**whole.values, "next_hop": whole.values["next_hop"] + 1})

    for header in (rb"\"counts\": [0]", rb"\"counts\": [9999999]", rb"\"counts\": [\"2\"]"):
        with pytest.raises(StateMismatch):
            engine.restore(with_header(data, rb"\"counts\": [2]", header))
    with pytest.raises(StateMismatch, match="clock"):
        engine.restore(shifted.to_bytes())


def with_header(data: bytes, old: bytes, new: bytes) -> bytes:
    """A snapshot's bytes with something else in their header."""
    length = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + length].rstrip(b" ")
    assert old in header
    header = header.replace(old, new)
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def test_a_snapshot_fits_its_own_model_and_mode_alone(local_model: Model, pyannote_model: Model) -> None:
    data = IncrementalModel(pyannote_model, speech="off").open().snapshot()

    for other in (
        IncrementalModel(local_model, speech="off"),
        IncrementalModel(pyannote_model, "cached", speech="off"),
        IncrementalModel(pyannote_model, precision="bfloat16", speech="off"),
        IncrementalModel(pyannote_model, speech="silero"),
    ):
        with pytest.raises(StateMismatch, match="belongs to"):
            other.restore(data)


@settings(max_examples=30, deadline=None)
@given(damage=st.data())
def test_a_damaged_snapshot_is_refused_or_still_whole(local_model: Model, damage: st.DataObject) -> None:
    engine = IncrementalModel(local_model, speech="off")
    stream = engine.open((1.0,), 0.5)
    stream.push(noise(1.3))
    data = bytearray(stream.snapshot())
    if damage.draw(st.booleans()):
        del data[damage.draw(st.integers(0, len(data) - 1)) :]
    else:
        # The header alone: a changed number in an array is another state, not a damaged one.
        header = 8 + int.from_bytes(data[:8], "little")
        data[damage.draw(st.integers(0, header - 1))] ^= damage.draw(st.integers(1, 255))

    with contextlib.suppress(StateMismatch, ConfigurationError):
        engine.restore(bytes(data)).push(noise(0.5))


def test_a_gap_advances_the_clock_and_joins_nothing_across_it(local_model: Model) -> None:
    engine, samples = IncrementalModel(local_model, speech="off"), noise(9)
    lost = slice(33_333, 50_001)
    stream = engine.open((1.0, 3.0), 0.5)

    steps = stream.push(samples[: lost.start]) + stream.gap(lost.stop) + stream.push(samples[lost.stop :])

    assert [step.end_sample for step in steps[4:6]] == [lost.start, 56_000]
    assert steps[4].partial
    late = [window for window in windows_of(steps) if window.start_sample >= lost.stop]
    assert any(not window.partial for window in late)
    for window in late:
        piece = torch.from_numpy(samples[window.start_sample : window.end_sample])
        assert deviation(window.embedding, local_model(piece[None, None])[0].numpy()) < 1e-5
    spanning = [window for window in windows_of(steps) if window.start_sample < lost.start < window.end_sample - 5000]
    assert spanning
    assert all(window.partial for window in spanning)


def test_a_gap_of_hours_costs_nothing(engine: IncrementalModel) -> None:
    stream = engine.open((1.0,), 0.1)
    stream.push(noise(1.5))

    stream.gap(10 * 3600 * RATE + 7)
    steps = stream.push(noise(1.5))

    assert steps[0].start_sample == 10 * 3600 * RATE + 7
    assert windows_of(steps)[-1].end_sample > 10 * 3600 * RATE + RATE


def test_a_short_gap_does_not_end_its_step(engine: IncrementalModel) -> None:
    stream = engine.open((1.0,), 1.0)

    steps = stream.push(noise(0.3)) + stream.gap(6000) + stream.push(noise(2.0))

    assert [step.end_sample for step in steps] == [16_000, 32_000]


def test_frames_are_dated_right_across_a_short_gap_inside_of_a_step(local_model: Model) -> None:
    stream = IncrementalModel(local_model).open((1.0,), 1.0)

    steps = stream.push(noise(0.6)) + stream.gap(9_920) + stream.push(noise(2.0))

    ends = [step.first_frame + len(step.speech) for step in steps if step.speech is not None]
    assert ends[:-1] == [step.first_frame for step in steps[1:]]
    lost = steps[0].speech[FRAME_GRID.end_frame(9_600) : FRAME_GRID.first_frame(9_920)]
    assert len(lost) > 15 and (lost == 0).all()


def test_samples_that_are_refused_leave_the_stream_as_it_was(engine: IncrementalModel) -> None:
    samples, stream = noise(3.2), engine.open((1.0,), 0.5)
    spoilt = samples[20_000:40_000].copy()
    spoilt[15_000] = np.inf
    found = stream.push(samples[:20_000])

    with pytest.raises(AudioNotFinite, match="sample 35000"):
        stream.push(spoilt)
    with pytest.raises(ConfigurationError, match="skip back"):
        stream.gap(19_999)
    with pytest.raises(ConfigurationError, match="shape"):
        stream.push(samples[None])

    assert_same(found + stream.push(samples[20_000:]), engine.open((1.0,), 0.5).push(samples))


def test_a_finished_stream_hears_no_more(engine: IncrementalModel) -> None:
    stream = engine.open((1.0,), 0.5)
    stream.push(noise(1.2))
    stream.finish()

    for more in (lambda: stream.push(noise(0.1)), lambda: stream.gap(90_000)):
        with pytest.raises(StreamClosed, match="finished"):
            more()


def test_exact_mode_weighs_frames_by_the_networks_attention() -> None:
    torch.manual_seed(3)
    model = Model(XVectorSincNet(Architecture("rectified", "instance", attention=True)), ModelCard("attends"))
    with torch.no_grad():
        model.network.attention.weight.mul_(50)  # or it would hardly tell frames apart
    samples = noise(2.0)

    window = windows_of(IncrementalModel(model, speech="off").open((2.0,), 1.0).push(samples))[-1]

    assert deviation(window.embedding, model(torch.from_numpy(samples)[None, None])[0].numpy()) < 1e-4


@pytest.mark.parametrize("choice", [{"mode": "auto"}, {"speech": "sillero"}, {"precision": "float8"}])
def test_what_is_misspelt_is_refused(pyannote_model: Model, choice: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="is not known"):
        IncrementalModel(pyannote_model, **choice)


def test_the_last_incomplete_step_is_flushed(engine: IncrementalModel) -> None:
    stream = engine.open((1.0,), 1.0)
    stream.push(noise(2.4))

    (last,) = stream.finish()

    assert (last.start_sample, last.end_sample, last.partial) == (32_000, 38_400, True)
    assert stream.finish() == []


def test_windows_come_once_there_is_a_second_of_speech(engine: IncrementalModel) -> None:
    ends = [step.end_sample for step in engine.open((3.0,), 0.5).push(noise(4)) if step.windows]
    partial = [window.partial for window in windows_of(engine.open((3.0,), 0.5).push(noise(4)))]

    assert ends[0] in (16_000, 24_000)  # the frames of the first second see a little less than a second
    assert partial == [True] * (len(partial) - 3) + [False] * 3


def test_a_stream_with_nan_fails_alone(engine: IncrementalModel) -> None:
    broken, sound = engine.open((1.0,), 1.0), engine.open((1.0,), 1.0)
    samples = noise(1.0)
    spoilt = samples.copy()
    spoilt[777] = np.nan

    first, second = engine.step([Block(broken, spoilt), Block(sound, samples)])

    assert isinstance(first, AudioNotFinite)
    assert "sample 777" in str(first)
    assert isinstance(second, Step)
    assert_same([second], engine.open((1.0,), 1.0).push(samples))


def test_a_stream_costs_at_most_a_megabyte(engine: IncrementalModel) -> None:
    stream = engine.open((3.0,), 1.0)
    stream.push(noise(10))

    assert 10_000 < stream.nbytes <= 2**20


def test_what_a_stream_costs_does_not_grow(engine: IncrementalModel) -> None:
    stream = engine.open((0.5,), 0.1)
    sizes = []
    for second in range(6):
        stream.push(noise(0.5, second))
        sizes.append(stream.nbytes)

    # Up to one cell more or less is open at the end of a step.
    assert max(sizes[3:]) <= 1.25 * min(sizes[3:])


def test_the_speech_head_weighs_the_frames(local_model: Model) -> None:
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
        piece = wave[window.start_sample : window.end_sample]
        weights = torch.from_numpy(speech[first : first + count])[None]
        assert deviation(window.embedding, local_model(piece[None, None], weights)[0].numpy()) < 1e-5
        assert window.speech_s == pytest.approx(weights.mean().item() * len(piece) / RATE, rel=1e-4)


def test_blocks_pool_to_the_embedding_of_the_whole(local_model: Model) -> None:
    samples = noise(5)
    steps = IncrementalModel(local_model, speech="off").open((1.0,), 1.0).push(samples)
    from streamer.models.pooling import Moments

    blocks = [step.block for step in steps if step.block is not None]
    parts = zip(*[(block.weight, block.weight2, block.mean, block.m2) for block in blocks], strict=True)
    merged = Moments(*[np.stack(part) for part in parts]).merged()

    whole = local_model(torch.from_numpy(samples)[None, None])[0].numpy()
    assert deviation(local_model.embed(merged), whole) < 1e-5


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_lower_precision_stays_close(local_model: Model, precision: str) -> None:
    samples = noise(3)
    model = calibrated(local_model, samples)
    plain = windows_of(IncrementalModel(model, speech="off").open((1.0,), 1.0).push(samples))
    low = windows_of(IncrementalModel(model, precision=precision, speech="off").open((1.0,), 1.0).push(samples))  # type: ignore[arg-type]

    for one, other in zip(low, plain, strict=True):
        cosine = one.embedding @ other.embedding / np.linalg.norm(one.embedding) / np.linalg.norm(other.embedding)
        assert 0.99 < cosine < 1.0


@pytest.mark.parametrize(
    ("durations", "step", "message"),
    [
        ((), 1.0, "durations is empty"),
        ((3.0,), 0.0, "step=0.0"),
        ((3.0,), float("nan"), "step=nan"),
        ((3.0,), 61.0, "at most 60"),
        ((0.2,), 0.1, "duration=0.2"),
        ((3.0,), 2.0, "not a multiple"),
        ((float("inf"),), 1.0, "duration=inf"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    local_model: Model, durations: tuple[float, ...], step: float, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        WindowSettings.of(local_model, durations, step, "cached")


@pytest.mark.parametrize(
    ("front", "norm", "mode"), [("log", "batch", "exact"), ("log", "instance", None), ("log", "instance", "cached")]
)
def test_a_mode_that_a_model_has_not_is_refused(front: Any, norm: Any, mode: Any) -> None:
    model = Model(XVectorSincNet(Architecture(front, norm, 8)), ModelCard("random"))
    with pytest.raises(ConfigurationError, match="norm"):
        IncrementalModel(model, mode)


def test_a_precision_that_is_not_known_is_refused(local_model: Model) -> None:
    with pytest.raises(ConfigurationError, match="float32, bfloat16, int8"):
        IncrementalModel(local_model, precision="float64")  # type: ignore[arg-type]


def test_exact_mode_wants_steps_on_the_filters_grid(pyannote_model: Model) -> None:
    with pytest.raises(ConfigurationError, match="multiple of 10"):
        WindowSettings.of(pyannote_model, (3003 / RATE * 3,), 1001 / RATE, "exact")


def test_blocks_beyond_their_step_are_refused(engine: IncrementalModel) -> None:
    stream = engine.open((1.0,), 0.5)

    (outcome,) = engine.step([Block(stream, noise(0.6))])

    assert isinstance(outcome, ConfigurationError)


def test_on_every_device(local_model: Model, device: str) -> None:
    samples = noise(2)
    expected = IncrementalModel(local_model, speech="off").open((1.0,), 0.5).push(samples)

    found = IncrementalModel(local_model, speech="off", device=device).open((1.0,), 0.5).push(samples)

    assert_same(found, expected, 1e-4)

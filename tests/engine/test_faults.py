"""Gaps, spoilt samples and impossible wishes: time stays right, and nobody else is hurt."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from steps import RATE, assert_same, deviation, noise, windows_of

from streamer.engine.incremental import Block, IncrementalModel
from streamer.engine.settings import WindowSettings
from streamer.engine.window import Step
from streamer.errors import AudioNotFinite, ConfigurationError, StreamClosed
from streamer.models.architecture import Architecture
from streamer.models.model import Model, ModelCard
from streamer.models.xvector import XVectorSincNet


def test_a_gap_advances_the_clock_and_joins_nothing_across_it(forgetful):
    engine, samples = forgetful, noise(9)
    lost = slice(33_333, 50_001)
    stream = engine.open((1.0, 3.0), 0.5)

    steps = stream.push(samples[: lost.start]) + stream.gap(lost.stop) + stream.push(samples[lost.stop :])

    assert [step.end_sample for step in steps[4:6]] == [lost.start, 56_000]
    assert steps[4].partial
    late = [window for window in windows_of(steps) if window.start_sample >= lost.stop]
    assert any(not window.partial for window in late)
    for window in late:
        heard = torch.from_numpy(samples[window.start_sample : window.end_sample])
        offline = engine.model(heard[None, None])[0].numpy()
        assert deviation(window.embedding, offline) < (1e-5 if engine.mode == "cached" else 1e-4)
    spanning = [window for window in windows_of(steps) if window.start_sample < lost.start < window.end_sample - 5000]
    # Frames can be pooled from both sides of a gap; what is computed anew begins after it.
    assert bool(spanning) == (engine.mode == "cached")
    assert all(window.partial for window in spanning)


def test_a_gap_of_hours_costs_nothing(engine):
    stream, without = engine.open((1.0,), 0.1), engine.open((1.0,), 0.1)
    for one in (stream, without):
        one.push(noise(1.5))

    blocks = engine.open((1.0,), 0.1).skip(10 * 3600 * RATE + 7)
    steps = stream.gap(10 * 3600 * RATE + 7) + stream.push(noise(1.5))
    without.push(noise(1.5))

    # Neither blocks to compute nor memory grow with what is missing.
    assert [len(block.samples) for block in blocks] == [0]
    assert stream.nbytes <= 1.1 * without.nbytes
    assert steps[0].start_sample == 10 * 3600 * RATE + 7
    assert windows_of(steps)[-1].end_sample > 10 * 3600 * RATE + RATE


def test_a_short_gap_does_not_end_its_step(engine):
    stream = engine.open((1.0,), 1.0)

    steps = stream.push(noise(0.3)) + stream.gap(6000) + stream.push(noise(2.0))

    assert [step.end_sample for step in steps] == [16_000, 32_000]


def test_frames_are_dated_right_across_a_short_gap_inside_of_a_step(local_model):
    stream = IncrementalModel(local_model).open((1.0,), 1.0)

    steps = stream.push(noise(0.6)) + stream.gap(9_920) + stream.push(noise(2.0))

    ends = [step.first_frame + len(step.speech) for step in steps if step.speech is not None]
    assert ends[:-1] == [step.first_frame for step in steps[1:]]
    grid = local_model.grid
    lost = steps[0].speech[grid.end_frame(9_600) : grid.first_frame(9_920)]
    assert len(lost) > 15 and (lost == 0).all()


def test_samples_that_are_refused_leave_the_stream_as_it_was(engine):
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


def test_a_finished_stream_hears_no_more(engine):
    stream = engine.open((1.0,), 0.5)
    stream.push(noise(1.2))
    stream.finish()

    for more in (lambda: stream.push(noise(0.1)), lambda: stream.gap(90_000)):
        with pytest.raises(StreamClosed, match="finished"):
            more()


def test_a_stream_with_nan_fails_alone(engine):
    broken, sound = engine.open((1.0,), 1.0), engine.open((1.0,), 1.0)
    samples = noise(1.0)
    spoilt = samples.copy()
    spoilt[777] = np.nan

    first, second = engine.step([Block(broken, spoilt), Block(sound, samples)])

    assert isinstance(first, AudioNotFinite)
    assert "sample 777" in str(first)
    assert isinstance(second, Step)
    assert_same([second], engine.open((1.0,), 1.0).push(samples))


@pytest.mark.parametrize("choice", [{"mode": "auto"}, {"speech": "sillero"}, {"precision": "float8"}])
def test_what_is_misspelt_is_refused(pyannote_model, choice):
    with pytest.raises(ConfigurationError, match="is not known"):
        IncrementalModel(pyannote_model, **choice)


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
def test_settings_that_cannot_work_are_refused(local_model, durations, step, message):
    with pytest.raises(ConfigurationError, match=message):
        WindowSettings.of(local_model, durations, step)


@pytest.mark.parametrize(
    ("front", "norm", "mode"), [("log", "batch", "exact"), ("log", "instance", None), ("log", "instance", "cached")]
)
def test_a_mode_that_a_model_has_not_is_refused(front, norm, mode):
    model = Model(XVectorSincNet(Architecture(front, norm, 8)), ModelCard("random"))
    with pytest.raises(ConfigurationError, match="norm"):
        IncrementalModel(model, mode)


def test_a_precision_that_is_not_known_is_refused(local_model):
    with pytest.raises(ConfigurationError, match="float32, bfloat16, int8"):
        IncrementalModel(local_model, precision="float64")  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_a_precision_that_a_model_has_not_is_refused_with_a_model_that_has_it(campplus, campplus_past, precision):
    for model in (campplus, campplus_past):
        with pytest.raises(ConfigurationError, match="computed in float32 alone; use that, or the model 'sincnet'"):
            IncrementalModel(model, precision=precision)
    assert IncrementalModel(Model.from_pretrained("sincnet"), precision=precision).precision == precision


def test_exact_mode_wants_steps_on_the_filters_grid(pyannote_model):
    with pytest.raises(ConfigurationError, match="multiple of 10"):
        WindowSettings.of(pyannote_model, (3003 / RATE * 3,), 1001 / RATE, unit=10)


def test_blocks_beyond_their_step_are_refused(engine):
    stream = engine.open((1.0,), 0.5)

    (outcome,) = engine.step([Block(stream, noise(0.6))])

    assert isinstance(outcome, ConfigurationError)

"""Networks of other families: streamed by what they bring, on their own clock, with all that comes after them."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from steps import RATE, deviation, noise, windows_of
from toy import GRID, TOYS, ToyDescription, toy_model

import streamer
from streamer.engine.incremental import IncrementalModel
from streamer.engine.sincnet.layers import SincNetFrameLayers
from streamer.engine.window import Step
from streamer.errors import ConfigurationError
from streamer.models.pooling import Moments
from streamer.models.xvector import sincnet_of
from streamer.speakers.backend import Backend
from streamer.speakers.enrolment import Coach, EnrolmentSettings
from streamer.speakers.events import SpeechStart, TurnEnd
from streamer.speakers.profiles import Profile, Roster
from streamer.speakers.tracker import Tracker


def pooled(steps: list[Step]) -> Moments[np.ndarray]:
    blocks = [step.block for step in steps if step.block is not None]
    parts = zip(*[(block.weight, block.weight2, block.mean, block.m2) for block in blocks], strict=True)
    return Moments(*[np.stack(part) for part in parts]).merged()


@pytest.mark.parametrize("kind", ["toy", "toy that remembers"])
def test_the_blocks_of_a_stream_pool_to_the_embedding_of_the_whole(kind):
    model, samples = toy_model(TOYS[kind]), noise(4)

    steps = IncrementalModel(model, speech="off").open((1.0,), 0.5).push(samples)

    assert deviation(model.embed(pooled(steps)), model(torch.from_numpy(samples)[None, None])[0].numpy()) < 1e-5


def test_a_memory_begins_again_after_a_gap():
    model, samples = toy_model(TOYS["toy that remembers"]), noise(4)
    stream = IncrementalModel(model, speech="off").open((1.0,), 0.5)
    stream.push(noise(2.03, seed=9))

    steps = stream.gap(5 * RATE) + stream.push(samples)

    after = [step for step in steps if step.start_sample >= 5 * RATE]
    assert deviation(model.embed(pooled(after)), model(torch.from_numpy(samples)[None, None])[0].numpy()) < 1e-5


# At a step's end, the newest frames' speech is that of the chunk before: a window that is computed anew knows better.
@pytest.mark.parametrize(("kind", "tolerance"), [("toy", 1e-5), ("toy by windows", 1e-3)])
def test_speech_is_told_on_the_grid_of_the_network_and_weighs_its_frames(kind, tolerance, voice):
    model = toy_model(TOYS[kind])
    steps = IncrementalModel(model).open((1.0, 2.0), 0.5).push(voice[0])

    assert {step.grid for step in steps} == {GRID}
    speech = np.concatenate([step.speech for step in steps if step.speech is not None])
    assert len(speech) == GRID.num_frames(len(voice[0]))
    assert 0 < speech.min() < speech.max() < 1
    for window in windows_of(steps)[-2:]:
        heard = torch.from_numpy(voice[:1, window.start_sample : window.end_sample])
        first = window.start_sample // GRID.stride
        weights = torch.from_numpy(speech[first : first + GRID.num_frames(heard.shape[1])])[None]
        assert deviation(window.embedding, model(heard[None], weights)[0].numpy()) < tolerance
        assert deviation(window.embedding, model(heard[None])[0].numpy()) > 10 * tolerance


@pytest.mark.parametrize("kind", TOYS)
def test_a_tracker_hears_turns_on_the_grid_of_the_network(kind):
    model = toy_model(TOYS[kind])
    engine, voices = IncrementalModel(model, speech="off"), [noise(6, seed) * 3 for seed in (1, 2)]
    backend = Backend.of(model)
    coach = Coach(backend, model.embed, Roster.empty(model.dimension), settings=EnrolmentSettings(snr_db=-60))
    coach.hear(voices[0])
    stream = engine.open((1.0, 3.0), 0.5)
    for step in stream.push(voices[0]) + stream.finish():
        coach.step(step)
    verdict = coach.verdict()
    roster = Roster.of([Profile("Ada", model.fingerprint, verdict.exemplars)], model.dimension)
    tracker = Tracker(roster, backend, model.embed)

    silence = np.zeros(2 * RATE, np.float32)
    stream = engine.open((1.0, 3.0), 0.5)
    events = []
    for step in stream.push(np.concatenate([silence, voices[0], silence])) + stream.finish():
        events += tracker.update(step)
    events += tracker.finish()

    assert verdict.speech_s == pytest.approx(6, abs=0.05)
    (start,) = [event for event in events if isinstance(event, SpeechStart)]
    (turn,) = [event for event in events if isinstance(event, TurnEnd)]
    # By level alone, speech begins with the step whose frames are the first loud ones, less what they look back.
    assert abs(start.sample - 2 * RATE) <= GRID.receptive_field
    assert turn.speaker == "Ada"


def test_what_a_family_cannot_do_is_refused():
    for kind, choice, message in (
        ("toy", {"mode": "exact"}, "'cached' is exact"),
        ("toy by windows", {"mode": "cached"}, "another toy"),
        ("toy by windows", {"precision": "int8"}, "use float32"),
        ("toy", {"speech": "head"}, "no speech head"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            IncrementalModel(toy_model(TOYS[kind]), **choice)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="'toy'"):
        sincnet_of(toy_model(ToyDescription()).network)


def test_the_hops_of_a_sincnet_follow_from_its_layers(any_model):
    hops = SincNetFrameLayers(sincnet_of(any_model.network)).hops

    # TDNN contexts 4, 4 and 6; 9 positions of 30 samples, 271 seen by each; 4 positions at 9 a hop and 4 at 3 a hop.
    assert (hops.lag, hops.reads, hops.warm_up) == (14, 8 * 30 + 271, 2)
    assert (hops.start, hops.end) == (16 * 30, 16 * 30 + 241)


def test_nothing_but_the_networks_own_rooms_knows_its_numbers():
    package = Path(streamer.__file__).parent
    # Training a SincNet is its own room too, but for what asks a recipe's architecture.
    own = {"models", "engine/sincnet", "training"}
    for path in package.rglob("*.py"):
        place = path.relative_to(package).as_posix()
        if any(place.startswith(f"{room}/") for room in own) and place != "training/sampler.py":
            continue
        nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        imported = {node.module for node in nodes}
        specific = {"streamer.models.architecture", "streamer.models.sincnet", "streamer.models.xvector"}
        assert not imported & specific, place

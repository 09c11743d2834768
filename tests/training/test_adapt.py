"""Adapting a model to a few people: it helps where recordings of one person differ, and says so where it does not."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch

from streamer.audio.files import read_audio
from streamer.cli import main
from streamer.demo import ENROLMENT
from streamer.engine.incremental import IncrementalModel
from streamer.errors import ConfigurationError
from streamer.models import checkpoint
from streamer.models.model import Model, ModelCard
from streamer.speakers.backend import Backend, Cohort
from streamer.speakers.scoring import Calibration
from streamer.training import adapting
from streamer.training.adapt import Adapted, Take, WindowErrors, adapt, measure, parted, refitted, unchanged

DIMENSION = 24
CALIBRATION = Calibration((1.0, 5.0), (3.0, 4.0), (1.0, 1.0), (0.0, 0.0), (1.0, 1.0))


def people(rng: np.random.Generator, within: np.ndarray, count: int = 8, recordings: int = 9) -> dict[str, list[Take]]:
    """Voices around which recordings scatter with a spread (dimension,) of their own in each direction."""
    made = {}
    for name in range(count):
        voice = rng.normal(size=DIMENSION)
        takes = []
        for number in range(recordings):
            there = voice + within * rng.normal(size=DIMENSION)
            windows = there + 0.1 * rng.normal(size=(4, DIMENSION))
            takes.append(Take(f"{number}.wav", np.full(4, 3.0), windows.astype(np.float32)))
        made[f"speaker-{name}"] = takes
    return made


@pytest.fixture
def backend():
    cohort = np.random.default_rng(5).normal(size=(200, DIMENSION)).astype(np.float32)
    return Backend(CALIBRATION, Cohort(cohort, top=40), CALIBRATION)


def test_what_differs_within_people_is_made_small_and_new_recordings_are_mistaken_less(backend):
    within = np.where(np.arange(DIMENSION) < 4, 4.0, 0.2)
    learn, held_out = parted(people(np.random.default_rng(1), within))
    found = adapt(learn, backend)
    before, after = measure(learn, held_out, unchanged(backend, DIMENSION)), measure(learn, held_out, found)
    assert found.share < 1
    # A step along the noisy directions is a smaller one than along the others.
    steps = np.linalg.norm(found.transform, axis=0)
    assert steps[:4].max() < 0.8 * steps[4:].min()
    assert after.better_than(before)
    assert (after.eer < 0.7 * before.eer, after.mean < before.mean) == (True, True)
    # People whom it has never heard, in the same rooms, too.
    fresh, again = parted(people(np.random.default_rng(2), within))
    assert measure(fresh, again, found).eer < measure(fresh, again, unchanged(backend, DIMENSION)).eer


def test_one_that_makes_no_fewer_mistakes_is_no_better():
    same = WindowErrors(0.1, 0.1, 0.05, 100)
    assert not same.better_than(same)
    assert not WindowErrors(0.0, 0.1, 0.06, 100).better_than(same)
    assert WindowErrors(0.0, 0.15, 0.05, 100).better_than(same)


def test_a_calibration_is_moved_to_what_was_measured_and_kept_where_it_was_right():
    rng = np.random.default_rng(3)
    seconds = rng.uniform(1, 5, 4000)
    expected = np.interp(np.log(seconds), np.log(CALIBRATION.seconds), CALIBRATION.same_mean)
    same, different = (expected + rng.normal(size=4000), seconds), (rng.normal(size=4000), seconds)
    kept = refitted(CALIBRATION, same, different)
    assert np.allclose(kept.same_mean, CALIBRATION.same_mean, atol=0.1)
    assert np.allclose(kept.different_std, CALIBRATION.different_std, atol=0.1)
    moved = refitted(CALIBRATION, (same[0] - 1, seconds), (different[0] * 2 + 1, seconds))
    assert np.allclose(np.array(moved.same_mean) + 1, CALIBRATION.same_mean, atol=0.1)
    assert np.allclose(moved.different_mean, 1, atol=0.1)
    assert np.allclose(moved.different_std, 2, atol=0.1)


def test_every_third_recording_of_a_person_is_held_out_and_taught_nothing():
    learn, held_out = parted(people(np.random.default_rng(1), np.ones(DIMENSION), recordings=7))
    names = {name: [take.name for take in takes] for name, takes in held_out.items()}
    assert set(map(tuple, names.values())) == {("2.wav", "5.wav")}
    assert all(not {take.name for take in learn[name]} & set(held) for name, held in names.items())


def test_the_written_model_gives_the_transformed_embeddings(local_model, voice, tmp_path):
    """As it is streamed, with its cohort, and after it was written and read."""
    rng = np.random.default_rng(0)
    cohort = rng.normal(size=(50, local_model.dimension)).astype(np.float32)
    details = {
        "tracking": CALIBRATION.to_dict(),
        "guests": CALIBRATION.to_dict(),
        "cohort": {"trust": 0.5, "usual": 0.1},
    }
    card = ModelCard("seeded", threshold=0.5, details={**details, "scores": {}})
    model = Model(local_model.network, card, cohort)
    transform = np.eye(model.dimension) + 0.1 * rng.normal(size=(model.dimension, model.dimension))
    backend = Backend.of(model)
    errors = WindowErrors(0.1, 0.1, 0.1, 9)
    vectors = rng.normal(size=(3, 4, 2, model.dimension)).astype(np.float32)
    some = {f"p{n}": [Take(f"{m}", np.ones(2), vectors[n, m]) for m in range(4)] for n in range(3)}
    outcome = adapting.Outcome(Adapted(transform, 0.5, backend), errors, errors, 3, 6, 3)
    made = adapting.put_in(model, outcome, some, "mine")
    checkpoint.save(tmp_path / "mine.safetensors", made)
    written = Model.from_pretrained(tmp_path / "mine.safetensors")
    assert written.fingerprint != model.fingerprint
    assert written.card.details["adapted"]["from"] == model.fingerprint
    waves = torch.from_numpy(voice)[None]
    assert np.allclose(written(waves).numpy(), model(waves).numpy() @ transform.T, atol=2e-4)
    one, other = ([w.embedding for s in IncrementalModel(m).open((1.0,), 1.0).push(voice[0]) for w in s.windows]
                  for m in (model, written))  # fmt: skip
    assert np.allclose(np.stack(other), np.stack(one) @ transform.T, atol=2e-4)
    moved = Backend.of(written)
    assert moved.cohort is not None
    assert (moved.cohort.trust, moved.calibration) == (0.5, CALIBRATION)
    # The model that it was made of is as it was.
    assert np.allclose(model(waves).numpy(), local_model(waves).numpy())


def test_models_that_cannot_be_adapted_are_refused_at_once(local_model):
    with pytest.raises(ConfigurationError, match="cohort"):
        adapting.check_adaptable(local_model)


@pytest.fixture
def folder(tmp_path):
    """Three people, each as four recordings: cuts of their bundled one."""
    for name, source in ENROLMENT.items():
        samples = read_audio(source).mono_16k()
        (tmp_path / "people" / name).mkdir(parents=True)
        for number, part in enumerate(np.array_split(samples, 4)):
            soundfile.write(tmp_path / "people" / name / f"{number}.wav", part, 16_000)
    return tmp_path / "people"


def test_a_model_that_is_no_better_is_not_written_and_says_what_it_measured(folder, tmp_path, capsys):
    """These three are never mistaken: nothing can be better."""
    (folder / "angus" / "notes.txt").write_text("no audio")
    out = tmp_path / "mine.safetensors"
    assert main(["train", str(folder), str(out)]) == 1
    said = capsys.readouterr()
    assert "3 people, 9 recordings to learn from, 3 held out" in said.out
    assert "equal error rate" in said.out
    assert "left out: angus/notes.txt" in said.err
    assert "nothing is written" in said.err
    assert not out.exists()


@pytest.mark.parametrize("left", [0, 2], ids=["nobody", "two people"])
def test_too_few_people_are_said_before_anything_is_heard(folder, tmp_path, capsys, left):
    for person in sorted(folder.iterdir())[left:]:
        (person / "0.wav").unlink()
        (person / "1.wav").unlink()
    assert main(["train", str(folder), str(tmp_path / "mine.safetensors")]) == 2
    assert f"{left} folders with 3 recordings or more" in capsys.readouterr().err

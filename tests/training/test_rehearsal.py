"""Conversations of voices that training left out say what scores mean, and which settings follow them best."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources

import numpy as np
import pytest
import soundfile

from streamer.audio.chunks import SAMPLE_RATE as RATE
from streamer.engine.incremental import IncrementalModel
from streamer.errors import ConfigurationError
from streamer.evaluation.conversations import Plan, Voices, converse
from streamer.evaluation.manifest import Utterance
from streamer.evaluation.stream import compute, together, track
from streamer.models.model import Model
from streamer.speakers.backend import Backend, Cohort
from streamer.speakers.settings import TrackerSettings
from streamer.training.backend import Windows
from streamer.training.calibration import _known_by_then, _turns, calibrate
from streamer.training.recipe import Data
from streamer.training.rehearsal import groups
from streamer.training.tracking import choose, cost, with_nobody_enrolled


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Eleven "speakers" of noise in two corpora, six utterances each, the last three in another language than the rest;
    and a recording of nothing but noise."""
    root = tmp_path_factory.mktemp("corpora")
    rng = np.random.default_rng(0)
    rows = ["path,split,corpus,speaker,seconds,language"]
    for speaker in range(11):
        for number in range(6):
            path = f"{speaker}-{number}.wav"
            soundfile.write(root / path, 0.05 * rng.standard_normal(RATE), RATE)
            corpus, language = "far" if speaker >= 4 else "near", "en" if speaker < 8 else "cy"
            rows.append(f"{path},train,{corpus},s{speaker:02},3.0,{language}")
    soundfile.write(root / "noise.wav", 0.01 * rng.standard_normal(RATE), RATE)
    rows.append("noise.wav,noise,noise,-,1.0,-")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    return root / "manifest.csv"


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    """The bundled voices, each cut into five utterances."""
    root, utterances = tmp_path_factory.mktemp("voices"), []
    for name in ("angus", "brian", "carol"):
        samples, rate = soundfile.read(str(resources.files("streamer.demo") / f"{name}.ogg"))
        for number, piece in enumerate(np.array_split(samples, 5)):
            soundfile.write(root / f"{name}-{number}.wav", piece, rate)
            utterances.append(Utterance(f"{name}-{number}.wav", name))
    return Voices.of(root, utterances, np.zeros(0, np.float32))


@pytest.fixture(scope="module")
def model():
    return Model.from_pretrained("sincnet")


@pytest.fixture(scope="module")
def computed(model, voices):
    engine, plan = IncrementalModel(model), Plan(seconds=20.0, enrolment_s=6.0, turn_s=(3.0, 8.0), overlap=0.0)
    return [compute(engine, converse(voices, plan, seed), 0.5) for seed in (3, 4)]


def test_the_search_keeps_what_follows_conversations_better(model, computed):
    # Nothing on earth is named with these: any other value follows better.
    worst = TrackerSettings(evidence_s=1000.0)

    def judged(settings: TrackerSettings) -> float:
        return cost([together([track(one, model, Backend.of(model), settings) for one in computed])])

    found = choose({"voices": computed}, model, worst, {"evidence_s": (1000.0, 0.3), "stay_s": (8.0,)})

    assert found.evidence_s == 0.3
    assert judged(found) < judged(worst)


def test_what_helps_in_one_half_of_the_conversations_and_harms_in_the_other_is_not_taken(model, voices):
    engine = IncrementalModel(model)
    friends = Plan(
        seconds=20.0, speakers=(2, 3), enrolled=1.0, absent=0, enrolment_s=6.0, turn_s=(3.0, 8.0), overlap=0.0
    )
    nobody = replace(friends, enrolled=0.0, absent=1)
    known = compute(engine, converse(voices, friends, 4), 0.5)
    strangers = [compute(engine, converse(voices, nobody, seed), 0.5) for seed in (3, 5)]
    trusting, suspicious = TrackerSettings(unknown_prior=1e-6), {"unknown_prior": (0.95,)}

    among_strangers = choose({"voices": strangers}, model, trusting, suspicious)
    among_both = choose({"voices": [strangers[1], known]}, model, trusting, suspicious)

    assert among_strangers.unknown_prior == 0.95
    assert among_both == trusting  # though the mean of both is better


def test_scores_are_worth_what_turns_score_against_their_speakers_and_others(model, computed):
    assert model.cohort is not None
    cohort = Cohort(model.cohort)

    both = calibrate({"voices": computed}, model, {"voices": cohort})

    for found in (both.enrolled, both.guests):
        assert len(found.seconds) >= 2 and list(found.seconds) == sorted(found.seconds)
        assert (found.llr(np.array(found.same_mean), np.array(found.seconds)) > 1).all()
        assert (found.llr(np.array(found.different_mean), np.array(found.seconds)) < -1).all()
    # A group counts as much as another, whether it has many conversations or one.
    cohorts = dict.fromkeys(("voices", "the same"), cohort)
    repeated = calibrate({"voices": computed[:1] * 5, "the same": computed[1:]}, model, cohorts).enrolled
    once = calibrate({"voices": computed[:1], "the same": computed[1:]}, model, cohorts).enrolled
    assert repeated.same_mean == pytest.approx(once.same_mean, abs=0.1)


def test_a_guest_is_whoever_had_a_turn_before(model, computed):
    turns = list(_turns(computed[0], model))
    known = list(_known_by_then(turns, model.dimension))

    assert len(known[0]) == 0
    for number, roster in enumerate(known):
        before = [turn for turn in turns[:number] if turn.whole[1] >= TrackerSettings().guest_speech_s]
        assert set(roster.names) == {turn.who for turn in before}
        for name, seconds in zip(roster.names, roster.speech_s, strict=True):
            assert seconds == pytest.approx(sum(turn.whole[1] for turn in before if turn.who == name))
    twice = next(turn for turn, roster in zip(turns, known, strict=True) if turn.who in roster.names)
    alone = known[turns.index(twice)].names.index(twice.who)
    scores = known[turns.index(twice)].scores(twice.whole[0])
    assert scores.argmax() == alone


def test_conversations_are_followed_with_nobody_enrolled_too(model, computed):
    ((name, group),) = with_nobody_enrolled({"voices": computed}).items()

    report = together([track(one, model, Backend.of(model)) for one in group])

    assert name == "voices, nobody enrolled"
    assert all(one.conversation is before.conversation for one, before in zip(group, computed, strict=True))
    assert report.rejected == 1.0
    assert report.wrong == report.false_name == 0.0
    # Two voices taken for one are seen by the diarisation error alone.
    assert cost([replace(report, der=report.der + 0.1)]) > cost([report])


def test_without_conversations_there_is_no_calibration(model):
    assert model.cohort is not None

    with pytest.raises(ConfigurationError, match="points"):
        calibrate({"nobody": []}, model, {"nobody": Cohort(model.cohort)})


def test_trials_are_pairs_within_a_corpus_and_every_corpus_has_as_many():
    speaker = np.repeat(np.arange(6), [2, 2, 2, 9, 9, 2])
    corpus = np.repeat([0, 1, 2], [6, 18, 2])  # the last has one speaker: nobody to be mistaken for
    windows = Windows([np.zeros(1, np.float32)] * len(speaker), speaker, corpus)

    trials = windows.trials(pairs=50)

    assert trials is not None
    assert (corpus[trials.left] == corpus[trials.right]).all()
    assert ((speaker[trials.left] == speaker[trials.right]) == trials.same).all()
    assert [int((trials.same[corpus[trials.left] == number]).sum()) for number in range(3)] == [50, 50, 0]
    assert len(trials.same) == 200
    assert Windows(windows.items[:2], speaker[:2], corpus[:2]).trials() is None


def test_voices_are_those_held_out_and_those_of_corpora_left_out(manifest):
    found = groups(Data(str(manifest), "", without=["far"], held_out_every=1))

    assert {name: sorted(group.speakers) for name, group in found.items()} == {
        "far cy": ["s08", "s09", "s10"],
        "far en": ["s04", "s05", "s06", "s07"],
        "near en": ["s00", "s01", "s02", "s03"],
    }
    assert len(found["far en"].noise) == RATE
    # Of the near, two are held out: too few to meet.
    assert list(groups(Data(str(manifest), "", without=["far"], held_out_every=3))) == ["far cy", "far en"]

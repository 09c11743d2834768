import numpy as np
import pytest

from streamer.audio.chunks import SAMPLE_RATE as RATE
from streamer.speakers.enrolment import ADVICE, Coach
from streamer.speakers.profiles import Exemplar, Profile


def sound(script, level_db=-25.0, noise_db=-60.0):
    """Samples to go with a script: a tone-like noise where somebody speaks, and a noise floor under all of it."""
    rng = np.random.default_rng(1)
    parts = [
        rng.standard_normal(round(seconds * RATE)) * (10 ** (level_db / 20) if name else 0.0)
        for name, seconds in script
    ]
    speech = np.concatenate(parts)
    return (speech + rng.standard_normal(len(speech)) * 10 ** (noise_db / 20)).astype(np.float32)


def enrol(stage, script, samples=None, others=(), profile=None, steps=None):
    coach = new_coach(stage, others, profile)
    coach.hear(sound(script) if samples is None else samples)
    for step in steps or stage.steps(script):
        coach.step(step)
    return coach.verdict()


def new_coach(stage, others=(), profile=None):
    return Coach(stage.backend, stage.embed, stage.roster(*others), profile)


def codes(verdict):
    return [finding.code for finding in verdict.findings]


PAUSED = [("ada", 3.0), (None, 0.7), ("ada", 4.0), (None, 0.7), ("ada", 5.0), (None, 0.5)]


def test_clear_speech_of_one_person_is_accepted_as_exemplars_of_their_voice(stage):
    verdict = enrol(stage, PAUSED, others=("bob", "cy"))
    assert verdict.accepted
    assert verdict.speech_s == pytest.approx(12.0, abs=0.3)
    assert verdict.snr_db == pytest.approx(35.0, abs=2.0)
    assert sum(exemplar.speech_s for exemplar in verdict.exemplars) == pytest.approx(verdict.speech_s)
    for exemplar in verdict.exemplars:
        assert stage.roster("ada").scores(exemplar.embedding)[0] > 0.85


def test_progress_grows_to_the_speech_wanted_and_pauses_do_not_count(stage):
    script = [("ada", 3.0), (None, 2.0), ("ada", 9.0)]
    coach = new_coach(stage)
    coach.hear(sound(script))
    shares = [coach.step(step).share for step in stage.steps(script)]
    assert shares == sorted(shares)
    assert shares[6] == shares[9] == pytest.approx(0.29, abs=0.02)
    assert shares[-1] == 1.0


@pytest.mark.parametrize(
    ("code", "script", "samples"),
    [
        ("too_short", [("ada", 2.5), (None, 1.0)], None),
        ("too_quiet", PAUSED, sound(PAUSED, level_db=-70.0, noise_db=-100.0)),
        ("clipped", PAUSED, np.clip(sound(PAUSED) * 30, -1, 1)),
        ("noisy", PAUSED, sound(PAUSED, noise_db=-24.0)),
    ],
)
def test_speech_that_would_poison_a_profile_is_refused_with_its_reason(stage, code, script, samples):
    verdict = enrol(stage, script, samples)
    assert codes(verdict) == [code]
    assert not verdict.accepted
    assert f"{verdict.findings[0].limit:g}" in verdict.findings[0].message or code == "clipped"
    assert verdict.findings[0].advice == ADVICE[code]


def test_two_voices_in_one_enrolment_are_noticed(stage):
    script = [("ada", 6.0), (None, 0.5), ("bob", 5.0), (None, 0.5)]
    assert codes(enrol(stage, script)) == ["two_voices"]


@pytest.mark.parametrize("seed", range(8))
def test_one_voice_is_not_taken_for_two(new_stage, seed):
    stage = new_stage(seed)
    assert codes(enrol(stage, [("ada", 20.0), (None, 0.5)])) == []


def test_somebody_else_under_a_name_that_is_enrolled_is_noticed(stage):
    profile = Profile("ada", "f", (Exemplar(stage.voice("ada"), 20.0),))
    assert codes(enrol(stage, PAUSED, profile=profile)) == []
    stranger = [("dan" if name else None, seconds) for name, seconds in PAUSED]
    verdict = enrol(stage, stranger, profile=profile)
    assert codes(verdict) == ["inconsistent_with_profile"]
    assert "ada" in verdict.findings[0].message


def test_the_same_voice_under_a_second_name_is_noticed_and_named(stage):
    verdict = enrol(stage, PAUSED, others=("bob", "ada", "cy"))
    assert codes(verdict) == ["same_as_other"]
    assert "sounds like ada" in verdict.findings[0].message


def test_several_recordings_make_one_enrolment(stage):
    coach = new_coach(stage)
    for seed in range(3):
        coach.begin_recording()
        coach.hear(sound([("ada", 4.0), (None, 0.5)]))
        stage.seed = seed  # other noise; the voice stays
        for step in stage.steps([("ada", 4.0), (None, 0.5)]):
            coach.step(step)
    verdict = coach.verdict()
    assert verdict.accepted
    assert verdict.speech_s == pytest.approx(12.0, abs=0.7)
    assert len(verdict.exemplars) == 3


def test_however_the_samples_arrive_the_verdict_is_the_same(stage):
    whole = enrol(stage, PAUSED)
    coach = new_coach(stage)
    for chunk in np.array_split(sound(PAUSED), [7, 100, 5000, 5001, 70_000]):
        coach.hear(chunk)
    for step in stage.steps(PAUSED):
        coach.step(step)
    assert coach.verdict().snr_db == whole.snr_db


def test_silence_is_too_short_and_leaves_nothing_to_keep(stage):
    verdict = enrol(stage, [(None, 5.0)])
    assert codes(verdict) == ["too_short"]
    assert verdict.exemplars == ()


def test_exact_mode_enrols_as_well(stage):
    verdict = enrol(stage, PAUSED, steps=stage.steps(PAUSED, blocks=False))
    assert verdict.accepted
    assert all(stage.roster("ada").scores(exemplar.embedding)[0] > 0.75 for exemplar in verdict.exemplars)

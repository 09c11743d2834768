"""`Speakers` on real audio: the bundled voices, with the default weights."""

import numpy as np
import pytest

from streamer.demo import ENROLMENT
from streamer.errors import AudioNotFound, ConfigurationError, EnrolmentRefused, SpeakerNotFound
from streamer.speakers.enrolment import EnrolmentSettings
from streamer.speakers.library import Speakers
from streamer.speakers.profiles import Exemplar
from streamer.speakers.transfer import export_speakers, import_speakers


@pytest.fixture(scope="module")
def model():
    from streamer.models.model import Model

    return Model.from_pretrained("default")


@pytest.fixture(scope="module")
def speakers(model, tmp_path_factory):
    with Speakers(model, tmp_path_factory.mktemp("store") / "speakers.db") as speakers:
        for name, path in ENROLMENT.items():
            speakers.enroll(name, path)
        yield speakers


@pytest.fixture
def empty(model):
    with Speakers(model, "sqlite://") as speakers:
        yield speakers


def test_the_bundled_voices_are_enrolled_and_told_apart(speakers):
    assert speakers.roster().names == ("angus", "brian", "carol")
    scores = speakers.roster().scores(speakers.roster().centroids)
    assert scores[2, :2].max() < speakers.model.card.threshold
    assert scores[0, 1] < 0.8
    assert all(profile.speech_s > 8 for profile in speakers.profiles())


def test_a_check_names_two_profiles_that_are_one_voice(speakers, model):
    with Speakers(model, "sqlite://") as twins:
        for name in ("angus", "carol"):
            twins.store.add(name, model.fingerprint, speakers.profile(name).exemplars)
        assert twins.check().overlaps == ()
        angus = speakers.profile("angus").exemplars[0]
        twins.store.add("hamish", model.fingerprint, [Exemplar(angus.embedding * 1.01, 9.0)])
        found = twins.check()
        assert [(pair.one, pair.other) for pair in found.overlaps] == [("angus", "hamish")]
        assert found.overlaps[0].score > 0.9


def test_half_of_a_recording_checks_against_the_other_half(empty):
    from streamer.audio.files import read_audio

    for name in ("angus", "carol"):
        wave = read_audio(ENROLMENT[name]).mono_16k()
        for half in np.array_split(wave, 2):
            empty.enroll(name, half, force=True)
    found = empty.check()
    assert found.measured
    assert found.within.min() > found.between.max()
    assert found.between.max() < found.threshold < found.within.min()


def test_a_second_name_for_an_enrolled_voice_is_refused_unless_forced(speakers):
    with pytest.raises(EnrolmentRefused, match="same_as_other: this sounds like angus") as refused:
        speakers.enroll("hamish", ENROLMENT["angus"])
    assert [finding.code for finding in refused.value.findings] == ["same_as_other"]
    assert "hamish" not in speakers.store.names()
    speakers.enroll("hamish", ENROLMENT["angus"], force=True)
    speakers.store.remove("hamish")


def test_another_voice_under_an_enrolled_name_is_refused(speakers):
    before = speakers.store.changes()
    with pytest.raises(EnrolmentRefused, match="inconsistent_with_profile"):
        speakers.enroll("carol", ENROLMENT["brian"])
    assert speakers.store.changes() == before


def test_samples_enrol_as_a_file_does(empty):
    from streamer.audio.files import read_audio

    wave = read_audio(ENROLMENT["carol"]).mono_16k()
    progress = []
    by_array = empty.enroll("carol", wave, progress=progress.append)
    assert progress[-1].speech_s == pytest.approx(by_array.speech_s, abs=1.0)
    by_file = empty.enroll("carol", ENROLMENT["carol"])
    assert np.array_equal(by_array.exemplars[0].embedding, by_file.exemplars[0].embedding)
    assert len(empty.profile("carol").exemplars) == len(by_file.exemplars)


def test_nothing_to_enrol_from_is_said(empty, tmp_path):
    with pytest.raises(ConfigurationError, match="enrolment needs audio"):
        empty.enroll("ada")
    with pytest.raises(AudioNotFound):
        empty.enroll("ada", tmp_path / "nothing.wav")
    with pytest.raises(EnrolmentRefused, match="too_short"):
        empty.enroll("ada", np.zeros(48_000, np.float32), force=True)
    assert empty.store.names() == []


def test_an_enrolment_can_ask_for_less(model):
    from streamer.audio.files import read_audio

    wave = read_audio(ENROLMENT["carol"]).mono_16k()[:48_000]
    with Speakers(model, "sqlite://", EnrolmentSettings(minimum_s=1.0)) as modest:
        assert modest.enroll("carol", wave).speech_s == pytest.approx(2.5, abs=0.6)


def test_who_is_enrolled_under_another_model_only_is_not_known(empty):
    empty.store.add("ada", "f" * 16, [Exemplar(np.ones(16, np.float32), 10.0)])
    assert len(empty.roster()) == 0
    with pytest.raises(SpeakerNotFound, match="only under another"):
        empty.profile("ada")


def test_an_export_brings_everybody_to_another_store(speakers, empty, tmp_path):
    assert export_speakers(speakers.store, tmp_path / "people.json") == 3
    assert import_speakers(empty.store, tmp_path / "people.json") == 3
    assert import_speakers(empty.store, tmp_path / "people.json") == 3
    assert empty.roster() == speakers.roster()

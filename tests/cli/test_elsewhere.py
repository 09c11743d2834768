"""People who are enrolled under another model than the one that listens: whoever listens is told, with the way out."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest

from streamer.cli.app import main
from streamer.demo import CONVERSATION, ENROLMENT
from streamer.errors import ConfigurationError, SpeakerNotFound
from streamer.models.model import Model
from streamer.models.places import DEFAULT, FINGERPRINTS, called
from streamer.session import Session
from streamer.speakers import glance
from streamer.speakers.library import Speakers
from streamer.speakers.profiles import Exemplar
from streamer.speakers.store import SpeakerStore

OTHERS = [name for name in FINGERPRINTS if name != DEFAULT]
STRANGE = "0123456789abcdef"


def some(speech_s: float = 10.0) -> list[Exemplar]:
    return [Exemplar(np.ones(8, np.float32), speech_s)]


@pytest.fixture
def path(tmp_path):
    """Carol and Angus as they were enrolled when `sincnet` was the default, and Zoë of some other model's."""
    path = tmp_path / "people.db"
    with Speakers("sincnet", path) as speakers:
        for name in ("carol", "angus"):
            speakers.enroll(name, ENROLMENT[name])
        speakers.store.add("Zoë", STRANGE, some())
    return path


@pytest.fixture
def warned(caplog):
    caplog.set_level(logging.WARNING, logger="streamer.speakers")
    return caplog


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_the_fingerprints_of_the_package_are_known_without_loading_it(name):
    assert FINGERPRINTS[name] == Model.from_pretrained(name).fingerprint
    assert called(FINGERPRINTS[name]) == name


def test_who_listens_with_the_default_is_told_of_those_of_the_former_one(path, warned, capsys):
    assert main(["run", str(CONVERSATION), "--store", str(path), "--forget-guests"]) == 0
    [said] = warned.messages
    assert said == (
        f"3 people are enrolled under another model, and unknown to {DEFAULT}: Zoë, angus, carol. Listen with "
        "`--model sincnet`, or enrol them again: `streamer speakers enroll NAME FILE`."
    )
    assert "carol" not in capsys.readouterr().out
    warned.clear()
    assert main(["run", str(CONVERSATION), "--store", str(path), "--model", "sincnet", "--forget-guests"]) == 0
    [said] = warned.messages  # Zoë is nobody's whom a name is known of
    assert said.startswith("1 person is enrolled under another model, and unknown to sincnet: Zoë. Listen with the")
    assert "carol" in capsys.readouterr().out


def test_who_is_enrolled_again_is_no_more_told_of(path, warned):
    for name in ("carol", "angus"):
        assert main(["speakers", "enroll", name, str(ENROLMENT[name]), "--store", str(path)]) == 0
    assert not warned.messages
    with Speakers("default", path) as speakers:
        assert speakers.only_under_others() == {"Zoë": [STRANGE]}
        speakers.store.remove("Zoë")
        Session(speakers)
    assert not warned.messages


def test_a_session_tells_once_and_a_store_without_others_nothing(warned):
    with Speakers("default", "sqlite://") as speakers:
        Session(speakers)
        assert not warned.messages
    with Speakers("default", "sqlite://") as speakers:
        for number in range(1_000):
            speakers.store.add(f"person {number:04}", FINGERPRINTS["sincnet"], some())
        Session(speakers)
        Session(speakers)
    [said] = warned.messages
    assert said.startswith("1,000 people are enrolled under another model")
    assert len(said) < 400


@pytest.mark.parametrize("other", OTHERS)
def test_a_roster_of_people_of_another_model_is_answered_with_that_model(other, tmp_path):
    with Speakers("default", tmp_path / "people.db") as speakers:
        speakers.store.add("Zoë", FINGERPRINTS[other], some())
        for wanted in (["Zoë"], ["ZOE\u0308"]):
            with pytest.raises(ConfigurationError, match=f"another model only: Zoë. Listen with `--model {other}`"):
                speakers.roster(wanted)
        with pytest.raises(SpeakerNotFound, match=f"only under another model. Listen with `--model {other}`"):
            speakers.profile("zoë")
        with pytest.raises(ConfigurationError, match="not enrolled: Bob"):
            speakers.roster(["Bob"])


def test_who_asks_for_them_by_name_is_answered_before_a_file_is_begun(path, tmp_path, capsys):
    """With a model of the package at a glance, with any other once it is loaded."""
    turns, mine = tmp_path / "turns.rttm", tmp_path / "mine.safetensors"
    turns.write_text("as it was")
    assert main(["model", "convert", "campplus", str(mine)]) == 0
    for model in ("default", "campplus-live", "campplus", str(mine)):
        command = ["run", str(CONVERSATION), "--store", str(path), "--roster", "carol", "--rttm", str(turns)]
        assert main([*command, "--model", model]) == 2
        assert "another model only: carol. Listen with `--model sincnet`" in capsys.readouterr().err
        assert turns.read_text() == "as it was"


def test_a_glance_sees_the_same_people_as_the_store(tmp_path):
    path = tmp_path / "people.db"
    with SpeakerStore(path) as store:
        store.add("Ada", STRANGE, some())
        store.add("Bob", STRANGE, some())
        store.add("Bob", FINGERPRINTS["sincnet"], some())
        store.add("Zoë", FINGERPRINTS["campplus"], some())
        store.add("Zoë", STRANGE, some())
        for fingerprint in (STRANGE, *FINGERPRINTS.values()):
            assert glance.only_under_others(path, fingerprint) == store.only_under_others(fingerprint)
        assert store.only_under_others(STRANGE) == {}
        assert store.only_under_others(FINGERPRINTS["sincnet"]) == {
            "Ada": [STRANGE],
            "Zoë": sorted([STRANGE, FINGERPRINTS["campplus"]]),
        }
    assert glance.only_under_others(tmp_path / "none.db", STRANGE) == {}


def test_a_list_names_the_models_of_the_package(path, capsys):
    assert main(["speakers", "list", "--store", str(path)]) == 0
    rows = {row.split()[0]: row.split()[-1] for row in capsys.readouterr().out.splitlines()}
    assert rows == {"name": "model", "carol": "sincnet", "angus": "sincnet", "Zoë": STRANGE}
    assert main(["speakers", "list", "--json", "--store", str(path)]) == 0
    models = {one["model"] for one in json.loads(capsys.readouterr().out)["speakers"]}
    assert models == {FINGERPRINTS["sincnet"], STRANGE}  # what a program compares is not a name


def test_a_check_and_the_doctor_say_who_was_left_out(path, warned, capsys):
    assert main(["speakers", "check", "--store", str(path)]) == 0
    assert "0 speakers." in capsys.readouterr().out
    assert "unknown to" in warned.text
    assert main(["doctor", "--json", "--store", str(path)]) == 0
    store = next(one for one in json.loads(capsys.readouterr().out) if one["name"] == "store")
    assert store["state"] == "missing"
    assert "carol" in store["said"]
    assert "`--model sincnet`" in store["advice"]
    assert main(["doctor", "--json", "--store", str(path), "--model", "campplus"]) == 0
    assert "unknown to this model: Zoë, angus, carol" in capsys.readouterr().out.replace("\\u00eb", "ë")

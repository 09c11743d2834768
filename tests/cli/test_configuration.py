"""What a user sets once: the file, over it the environment, over that the prompt."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest
import typer

from streamer.cli import app as cli
from streamer.cli import main
from streamer.cli.configuration import defaults, path_of
from streamer.demo import ENROLMENT
from streamer.errors import ConfigurationError
from streamer.speakers.profiles import Exemplar
from streamer.speakers.store import SpeakerStore

VOICE = str(ENROLMENT["angus"])


@pytest.fixture
def file(tmp_path, monkeypatch):
    """The user's file, and two stores beside it, with Ada in one and Bob in the other."""
    path = tmp_path / "config.toml"
    monkeypatch.setenv("STREAMER_CONFIG", str(path))
    for name in ("Ada", "Bob"):
        with SpeakerStore(tmp_path / f"{name.lower()}.db") as store:
            store.add(name, "0123456789abcdef", [Exemplar(np.ones(8, np.float32), 5.0)])
    return path


def listed(capsys: pytest.CaptureFixture[str], *options: str) -> list[str]:
    assert main(["speakers", "list", "--json", *options]) == 0
    return [one["name"] for one in json.loads(capsys.readouterr().out)["speakers"]]


def given(*words: str, **environment: str) -> Any:
    command = typer.main.get_command(cli.build(words[0]))
    return defaults(command, words, environment, list(cli.COMMANDS))


def test_the_prompt_goes_over_the_environment_and_that_over_the_file(file, capsys, monkeypatch):
    file.write_text('store = "ada.db"\n')
    assert listed(capsys) == ["Ada"]  # from the folder of the file
    monkeypatch.setenv("STREAMER_STORE", str(file.with_name("bob.db")))
    assert listed(capsys) == ["Bob"]
    assert listed(capsys, "--store", str(file.with_name("ada.db"))) == ["Ada"]


def test_a_section_is_of_one_command_and_goes_over_the_top(file, capsys):
    file.write_text('store = "ada.db"\n[speakers.list]\nstore = "bob.db"\n')
    assert listed(capsys) == ["Bob"]
    assert main(["speakers", "show", "Ada"]) == 0


def test_any_option_can_be_set_by_its_long_name(file):
    file.write_text('model = "campplus"\n[run]\nkeep-guests = true\nstep = 1.0\nroster = ["Ada"]\njson = true\n')
    found = given("run", "talk.wav", STREAMER_CONFIG=str(file))
    assert found == {"run": {"model": "campplus", "keep_guests": True, "step": 1.0, "roster": ["Ada"], "json": True}}


def test_what_is_set_arrives_at_the_command(file, capsys):
    file.write_text('[verify]\nmodel = "none.safetensors"\n')
    assert main(["verify", VOICE, VOICE]) == 2
    assert "'none.safetensors' is no file" in capsys.readouterr().err
    file.write_text("[run]\nstep = 0.7\n")
    assert main(["run", VOICE]) == 2
    assert "step=0.7" in capsys.readouterr().err


def test_a_microphone_that_is_set_is_no_call_for_it(file, capsys):
    file.write_text('microphone = "USB"\n')
    assert main(["speakers", "enroll", "Ada"]) == 2
    assert "give recordings to enrol from, or --mic" in capsys.readouterr().err
    assert main(["speakers", "enroll", "Ada", "none.wav"]) == 2
    assert "'none.wav': no such file" in capsys.readouterr().err


def test_an_option_that_a_command_does_not_have_is_not_forced_on_it(file):
    file.write_text('microphone = "USB"\ndevice = "cpu"\n')
    assert given("run", "talk.wav", STREAMER_CONFIG=str(file)) == {"run": {"device": "cpu"}}
    assert given("speakers", "list", STREAMER_CONFIG=str(file)) == {"speakers": {"list": {}}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("store = 3\n", "store = 3 must be a text"),
        ('stor = "a"\n', "stor is not known at the top; there are store, model, device, microphone"),
        ("[rum]\nstep = 1\n", "[rum] is not a command"),
        ("[serve]\nport = 1\n", "[serve] has a separate file"),
        ("[speakers.list]\nspeed = 1\n", "[speakers.list] speed is no option of `streamer speakers list`"),
        ("[speakers]\nlist = 1\n", "list must be a section"),
        ("store = \n", "is not TOML"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_place(content, words, file, capsys):
    file.write_text(content)
    assert main(["speakers", "list"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"streamer: {file}: ") or "is not TOML" in said
    assert words in said
    # Help is to be had all the same.
    assert main(["speakers", "list", "--help"]) == 0


def test_a_file_that_was_named_must_be_there(tmp_path):
    with pytest.raises(ConfigurationError, match="can't be read"):
        given("run", "talk.wav", STREAMER_CONFIG=str(tmp_path / "none.toml"))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other folders")
def test_the_file_lies_in_the_users_configuration_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert path_of({}) == tmp_path / "streamer" / "config.toml"
    assert given("run", "talk.wav") == {"run": {}}


def test_servers_and_meetings_read_nothing_of_it(file, capsys):
    file.write_text('store = "ada.db"\n')
    assert main(["serve", "--print-config"]) == 0
    assert 'store = ""' in capsys.readouterr().out


def test_the_home_is_the_home_and_an_address_stays_one(file, monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    file.write_text('store = "~/a.db"\n')
    assert given("run", "x", STREAMER_CONFIG=str(file))["run"]["store"] == "/somewhere/a.db"
    file.write_text('store = "postgresql://db/rooms"\n')
    assert given("run", "x", STREAMER_CONFIG=str(file))["run"]["store"] == "postgresql://db/rooms"

"""One name for one thing in every command: options, their older spellings, help, lists as JSON, what changes say."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import typer
from terminal import on_a_terminal

from streamer.cli import app as cli
from streamer.cli import main
from streamer.cli.examples import EXAMPLES
from streamer.errors import ConfigurationError
from streamer.meeting import config as meeting
from streamer.server.config import load
from streamer.speakers.profiles import Exemplar
from streamer.speakers.store import SpeakerStore


def leaves(path: list[str], command: Any) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield " ".join(path), command
        return
    for name, inner in command.commands.items():
        yield from leaves([*path, name], inner)


def everything() -> dict[str, Any]:
    """Every command by its words."""
    found: dict[str, Any] = {}
    for name in cli.COMMANDS:
        group = typer.main.get_command(cli.build(name)).commands[name]  # type: ignore[attr-defined]
        found.update(leaves([name], group))
    return found


ALL = everything()


@pytest.fixture
def store(tmp_path):
    """A store with Ada, Bob and a guest in it."""
    path = tmp_path / "people.db"
    with SpeakerStore(path) as opened:
        for number, name in enumerate(("Ada", "Bob")):
            opened.add(name, "0123456789abcdef", [Exemplar(np.eye(8, dtype=np.float32)[number], 5.0)])
        heard = Exemplar(np.eye(8, dtype=np.float32)[3], 4.0, source="guest")
        opened.remember_guest("a session", "guest-1", "0123456789abcdef", heard)
    return str(path)


@pytest.mark.parametrize("name", ALL)
def test_minus_h_is_help_and_ends_with_examples(name, capsys):
    assert main([*name.split(), "-h"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("Usage: streamer " + name)
    after = text.split("Examples:\n")[1].splitlines()
    assert [line.strip() for line in after if line.strip()] == list(EXAMPLES[name])


def test_minus_h_is_help_for_groups_and_for_the_whole(capsys):
    for words in ([], ["speakers"], ["model"], ["evaluate"]):
        assert main([*words, "-h"]) == 0
        assert capsys.readouterr().out.startswith("Usage: " + " ".join(["streamer", *words]))


@pytest.mark.parametrize(("name", "line"), [(name, line) for name, lines in EXAMPLES.items() for line in lines])
def test_every_example_is_of_its_command_and_parses(name, line):
    words = shlex.split(line.split("| ")[-1].split(" > ")[0])
    count = 1 + len(name.split())
    assert words[:count] == ["streamer", *name.split()]
    ALL[name].make_context(name, words[count:])


def test_each_option_means_one_thing_in_every_command():
    helps: dict[str, set[str]] = {}
    for command in ALL.values():
        for parameter in command.params:
            for option in parameter.opts:
                helps.setdefault(option, set()).add(parameter.help or "")
    assert helps["--device"] == {"The processor: auto, cpu, cuda, cuda:N or mps."}
    assert len(helps["--microphone"]) == len(helps["--store"]) == len(helps["--roster"]) - 1 == 1
    gone = {old for names in cli.OLD_SPELLINGS.values() for old in names}
    assert gone.isdisjoint(helps)
    assert {"--speakers", "--compute", "--input-device", "--list-devices", "-d"} == gone


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("serve --speakers a.db --port 0", "serve --store a.db --port 0"),
        ("serve --speakers=a.db", "serve --store=a.db"),
        ("live --compute cpu -d 3", "live --device cpu --microphone 3"),
        ("live --list-devices", "live --list-microphones"),
        ("speakers enroll Ada -d USB --mic", "speakers enroll Ada --microphone USB --mic"),
        ("stream ws://x --input-device 0", "stream ws://x --microphone 0"),
        ("run --speakers", "run --speakers"),
        ("speakers show -- -d", "speakers show -- -d"),
    ],
)
def test_an_older_spelling_is_understood(old, new):
    assert cli.present_spelling(old.split()) == new.split()


def test_serve_takes_its_store_by_both_names(tmp_path, capsys):
    for option in ("--store", "--speakers"):
        assert main(["serve", option, "people.db", "--print-config"]) == 0
        assert 'store = "people.db"' in capsys.readouterr().out
    file = tmp_path / "server.toml"
    for name in ("store", "speakers"):
        file.write_text(f'{name} = "people.db"\n')
        assert load(file, {}, {}).store == "people.db"
        assert load(None, {f"STREAMER_SERVER_{name.upper()}": "people.db"}, {}).store == "people.db"


def test_a_meeting_takes_its_store_and_microphones_by_both_names(tmp_path):
    file = tmp_path / "room.toml"
    for store, microphone in (("store", "microphone"), ("speakers", "device")):
        file.write_text(f'{store} = "people.db"\n[[input]]\n{microphone} = "USB"\n')
        loaded = meeting.load(file)
        assert loaded.store_location == tmp_path / "people.db"
        assert loaded.inputs[0].microphone == "USB"
    file.write_text("[[input]]\ndevice = 3\n")
    with pytest.raises(ConfigurationError, match="microphone = 3 must be a text"):
        meeting.load(file)


def test_a_microphone_given_for_the_processor_is_told_apart(capsys):
    assert main(["live", "--device", "USB Audio"]) == 2
    assert "The microphone is --microphone" in capsys.readouterr().err


def test_the_package_is_a_command_too():
    done = subprocess.run([sys.executable, "-m", "streamer", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("streamer 0.")


@pytest.mark.skipif(os.name != "posix", reason="a terminal is a pair of files")
def test_help_is_in_panels_on_a_terminal_and_in_lines_elsewhere(tmp_path, capsys):
    code, drawn = on_a_terminal(["run", "--help"], tmp_path)
    assert code == 0
    for panel in ("Outputs", "People", "Model"):
        assert f"╭─ {panel} ─" in re.sub(r"\x1b\[[\d;]*m", "", drawn)
    code, lines = on_a_terminal(["run", "--help"], tmp_path, TERM="dumb")
    assert main(["run", "--help"]) == 0
    for text in (lines, capsys.readouterr().out):
        assert "\x1b" not in text
        assert "╭" not in text
        assert "--minutes" in text


@pytest.mark.skipif(os.name != "posix", reason="a terminal is a pair of files")
@pytest.mark.parametrize("name", ALL)
def test_no_word_of_help_is_taken_for_markup(name):
    """Rich would swallow what stands in square brackets."""
    for parameter in ALL[name].params:
        assert "[" not in (parameter.help or "")
    assert "[" not in (ALL[name].help or "")


def test_lists_are_json_where_json_is_asked_for(store, capsys):
    def printed(*arguments: str) -> Any:
        assert main([*arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    listed = printed("speakers", "list", "--store", store)
    assert [(one["name"], one["speech_s"], one["exemplars"]) for one in listed["speakers"]] == [
        ("Ada", 5.0, 1),
        ("Bob", 5.0, 1),
    ]
    assert [one["guest"] for one in listed["guests"]] == ["guest-1"]
    (shown,) = printed("speakers", "show", "Ada", "--store", store)
    assert shown["exemplars"][0]["speech_s"] == 5.0
    checked = printed("speakers", "check", "--store", store)
    assert checked["speakers"] == 0  # they are of another model
    known = printed("evaluate", "conditions", "--list")
    assert {"clean", "noise=SNR_DB"} & set(known["known"]) or "telephone-mulaw" in known["measured"]


def test_every_change_says_what_it_did(store, tmp_path, capsys):
    for arguments, words in (
        (["rename", "Bob", "Robert"], "Bob is called Robert now"),
        (["name", "guest-1", "Carol"], "guest-1 is enrolled as Carol"),
        (["merge", "Carol", "Ada"], "Carol and Ada are one person now: Ada"),
        (["export", str(tmp_path / "out.json")], "2 speakers written to"),
        (["remove", "Robert", "--yes"], "Robert is deleted from"),
        (["import", str(tmp_path / "out.json")], "2 speakers read from"),
        (["erase"], "Nothing that was deleted is left"),
    ):
        assert main(["speakers", *arguments, "--store", store]) == 0, arguments
        assert words in capsys.readouterr().out


def test_nobody_is_removed_where_nobody_can_be_asked(store):
    command = [sys.executable, "-m", "streamer", "speakers", "remove", "Ada", "--store", store]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Ada was not deleted" in done.stderr
    assert "give --yes" in done.stderr
    with SpeakerStore(store) as opened:
        assert opened.names() == ["Ada", "Bob"]


@pytest.mark.skipif(os.name != "posix", reason="a terminal is a pair of files")
@pytest.mark.parametrize(("answer", "left"), [("y\n", ["Bob"]), ("n\n", ["Ada", "Bob"]), ("\n", ["Ada", "Bob"])])
def test_removing_asks_first(store, tmp_path, answer, left):
    code, said = on_a_terminal(["speakers", "remove", "Ada", "--store", store], tmp_path, typed=answer)
    assert f"Delete Ada from {store}, beyond recovery? [y/N]" in said
    assert ("Ada is deleted" in said) == (code == 0) == (len(left) == 1)
    with SpeakerStore(store) as opened:
        assert opened.names() == left


def test_who_is_not_enrolled_is_not_asked_about(store, capsys):
    assert main(["speakers", "remove", "Zoe", "--store", store]) == 2
    assert "Zoe" in capsys.readouterr().err

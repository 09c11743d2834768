"""`streamer speakers`: what it says of names, and of what could not be erased."""

from __future__ import annotations

import json
import os
import sqlite3
import stat

import numpy as np
import pytest

from streamer.cli.app import main
from streamer.speakers.opened import Opened
from streamer.speakers.profiles import Exemplar
from streamer.speakers.store import SpeakerStore


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A store with Zebediah in it, for which nobody waits long."""
    monkeypatch.setitem(Opened.__init__.__kwdefaults__, "busy_s", 0.2)
    path = tmp_path / "people.db"
    with SpeakerStore(path) as store:
        store.add("Zebediah", "0123456789abcdef", [Exemplar(np.ones(8, np.float32), 5.0)])
    return path


@pytest.mark.parametrize(
    "command", [["remove", "Zebediah", "--yes"], ["rename", "Zebediah", "Bob"]], ids=lambda words: words[0]
)
def test_a_change_that_cannot_be_erased_yet_is_no_success(path, capsys, command):
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("begin")
    reader.execute("select * from streamer_speakers").fetchall()
    arguments = ["--store", str(path)]
    assert main(["speakers", *command, *arguments]) == 2
    assert "`streamer speakers erase` makes sure" in capsys.readouterr().err
    assert main(["speakers", "erase", *arguments]) == 2
    reader.close()
    assert main(["speakers", "erase", *arguments]) == 0
    assert b"ebediah" not in b"".join(file.read_bytes() for file in path.parent.iterdir()).lower()
    assert main(["speakers", "list", *arguments]) == 0
    assert "Zebediah" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["guest-7", "unknown", "\u202eadA", "x" * 101])
def test_a_name_that_cannot_be_one_is_refused_before_anything_is_opened(tmp_path, capsys, name):
    assert main(["speakers", "enroll", name, "no such file.wav", "--store", str(tmp_path / "new.db")]) == 2
    said = capsys.readouterr().err
    assert "name" in said
    assert "no such file" not in said
    assert not (tmp_path / "new.db").exists()


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
def test_exports_are_readable_for_their_owner_alone_whatever_lay_there(path, tmp_path):
    target = tmp_path / "people.json"
    target.write_text("{}")
    target.chmod(0o644)
    (tmp_path / "people.json.new").write_text("left by one that was killed")
    before = os.umask(0)
    try:
        assert main(["speakers", "export", str(target), "--store", str(path)]) == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert list(json.loads(target.read_text())["speakers"]) == ["Zebediah"]


def test_an_import_with_a_name_that_cannot_be_one_changes_nothing(path, tmp_path, capsys):
    target = tmp_path / "people.json"
    assert main(["speakers", "export", str(target), "--store", str(path)]) == 0
    content = json.loads(target.read_text())
    content["speakers"] = {"Anna": content["speakers"]["Zebediah"], "guest-3": content["speakers"]["Zebediah"]}
    target.write_text(json.dumps(content))
    assert main(["speakers", "import", str(target), "--store", str(path)]) == 2
    with SpeakerStore(path) as store:
        assert store.names() == ["Zebediah"]


def test_a_speaker_is_shown_by_any_spelling_of_the_name(path, capsys):
    assert main(["speakers", "show", " ZEBEDIAH ", "--store", str(path)]) == 0
    assert "5.0 s" in capsys.readouterr().out

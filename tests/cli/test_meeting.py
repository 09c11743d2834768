"""`streamer meeting`: a room as a TOML file, from end to end."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamer.cli import main
from streamer.demo import ENROLMENT
from streamer.demo.room import seats
from streamer.errors import ConfigurationError
from streamer.meeting.config import Hook, Input, MeetingConfig, MeetingSinks, load
from streamer.rttm import read_rttm

ROOM = """
title = "Weekly"
store = "speakers.db"
roster = ["carol", "angus"]

[[input]]
file = "room.wav"
channels = ["door", "window"]

[sinks]
jsonl = "events.jsonl"
rttm = "turns.rttm"
vtt = "turns.vtt"
minutes = "minutes.html"
"""


def configuration(folder: Path, text: str = ROOM) -> Path:
    path = folder / "room.toml"
    path.write_text(text)
    return path


def test_a_meeting_of_two_microphones_fills_all_its_files(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sounds = seats(["carol", "angus"])[:, : 12 * 16_000]
    soundfile.write(tmp_path / "room.wav", np.ascontiguousarray(sounds.T), 16_000)
    for name in ("carol", "angus"):
        assert main(["speakers", "enroll", name, str(ENROLMENT[name]), "--store", "speakers.db", "--force"]) == 0
    assert main(["meeting", "--config", str(configuration(tmp_path))]) == 0
    assert "talk time" in capsys.readouterr().out
    assert [who for _, _, who in read_rttm(tmp_path / "turns.rttm")] == ["carol", "angus"]
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    ends = [(event["speaker"], event["channel"]) for event in events if event["type"] == "turn_end"]
    assert ends == [("carol", 0), ("angus", 1)]
    assert (tmp_path / "turns.vtt").read_text().count("-->") == 2
    minutes = (tmp_path / "minutes.html").read_text()
    assert "Weekly" in minutes
    assert "window" in minutes


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no [[input]]"),
        ("[[input]]\n", "one of file, microphone and url"),
        ('[[input]]\nfile = "a"\nmicrophone = "b"\n', "this has file, microphone"),
        ('[[input]]\nfile = "a"\ncolour = "b"\n', "colour is not known"),
        ('[[input]]\nfile = 3\n', "file = 3 must be a text"),
        ('roster = "Ada"\n[[input]]\nfile = "a"\n', "roster = 'Ada' must be a list of texts"),
        ('[[input]]\nfile = "a"\n[tracker]\ncommit = 7\n', "commit=7 is not a probability"),
        ('[[input]]\nfile = "a"\n[sinks.webhook]\nbatch = 3\n', "[sinks.webhook] has no url"),
        ("title = \n", "not a TOML file"),
    ],
    ids=["nothing", "no place", "two places", "unknown", "type", "list", "range", "no url", "no toml"],
)  # fmt: skip
def test_a_mistake_in_the_file_is_named_with_its_place(tmp_path, text, words, capsys):
    path = configuration(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert main(["meeting", "-c", str(path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_secret_is_taken_from_the_environment_and_must_be_there(tmp_path, monkeypatch):
    text = '[[input]]\nfile = "a"\n[sinks.webhook]\nurl = "http://127.0.0.1/"\nsecret_env = "ROOM_SECRET"\n'
    hook = load(configuration(tmp_path, text)).sinks.webhook
    assert hook is not None
    monkeypatch.delenv("ROOM_SECRET", raising=False)
    with pytest.raises(ConfigurationError, match="ROOM_SECRET is not set"):
        _ = hook.secret
    monkeypatch.setenv("ROOM_SECRET", "s3cret")
    assert hook.secret == "s3cret"


def test_the_room_of_the_documentation_is_one(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "meeting.md").read_text()
    config = load(configuration(tmp_path, page.split("```toml\n")[1].split("```")[0]))
    assert [given.channels for given in config.inputs] == [
        ("door", "window", "board", "guests"),
        ("foyer left", "foyer right"),
    ]
    assert config.crosstalk.leak_db == 10.0


@pytest.mark.parametrize("kind", [MeetingConfig, Input, MeetingSinks, Hook], ids=lambda kind: kind.__name__)
def test_every_field_is_documented(kind):
    page = (Path(__file__).parents[2] / "docs" / "meeting.md").read_text()
    inside = {"inputs", "sinks", "tracker", "crosstalk", "folder", "webhook"}
    assert [item.name for item in fields(kind) if item.name not in inside and f"`{item.name}`" not in page] == []

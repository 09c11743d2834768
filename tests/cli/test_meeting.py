"""`streamer meeting`: a room as a TOML file, from end to end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import soundfile
from websockets.asyncio.client import connect

from streamer.cli import main
from streamer.cli.page import page_settings, shown
from streamer.demo import ENROLMENT
from streamer.demo.room import seats
from streamer.errors import ConfigurationError
from streamer.meeting.config import Hook, Input, MeetingConfig, MeetingSinks, load
from streamer.rttm import read_rttm
from streamer.server.auth import new_token
from streamer.server.config import ServerConfig

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


#: As long as nobody can wait for.
LONG = """
title = "Weekly & more"
store = "speakers.db"
[[input]]
file = "long.flac"
channels = ["door", "window"]
"""


@pytest.mark.skipif(os.name != "posix", reason="it is ended by a signal")
async def test_the_page_of_a_meeting_is_there_while_it_lasts_and_ends_with_it(tmp_path):
    sounds = np.ascontiguousarray(seats(["carol", "angus"])[:, : 20 * 16_000].T)
    soundfile.write(tmp_path / "long.flac", np.tile(sounds, (60, 1)), 16_000)
    command = [sys.executable, "-m", "streamer", "meeting", "-c", str(configuration(tmp_path, LONG)), "--page", "0"]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(120):
            said = [(await process.stderr.readline()).decode() for _ in range(2)]
            port = int(said[0].split(":")[3].partition("/")[0])
            base = f"http://127.0.0.1:{port}/"
            assert said == [f"The page:    {base}?room=Weekly-more\n", f"The overlay: {base}overlay?room=Weekly-more\n"]
            async with connect(f"ws://127.0.0.1:{port}/v1/stream", proxy=None) as viewer:
                await viewer.send('{"type": "watch", "room": "Weekly-more"}')
                messages = [json.loads(await viewer.recv())]
                while messages[-1]["type"] != "turn_end":
                    messages.append(json.loads(await viewer.recv()))
                process.send_signal(signal.SIGINT)
                messages += [json.loads(text) async for text in viewer]
            out, rest = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert (messages[0]["title"], messages[0]["channels"]) == ("Weekly & more", ["door", "window"])
    assert (messages[-1]["type"], messages[-1]["reason"], viewer.close_code) == ("goodbye", "ended", 1000)
    assert (process.returncode, rest) == (0, b"")
    assert b"talk time" in out


async def test_a_page_whose_port_was_taken_meanwhile_is_refused_with_the_options_that_choose_another():
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ConfigurationError, match="choose another with --page or --host"),
    ):
        async with shown(ServerConfig(port=taken.getsockname()[1]), "Weekly", ["door"]):
            pass


async def test_a_page_that_everybody_can_read_along_is_said_to_be_one(tmp_path, capsys):
    (tmp_path / "tokens").write_text(new_token("phones", ["watch"])[1])
    settings = page_settings(0, host="0.0.0.0", token_file=str(tmp_path / "tokens"))
    assert settings is not None
    async with shown(settings, "Weekly", ["door"]):
        assert "not encrypted: give --cert and --key" in capsys.readouterr().err


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

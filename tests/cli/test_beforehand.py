"""What is wrong with a command is said at once: before torch is imported, at little cost."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from processor import cheap, run

from streamer.cli.beforehand import OPENED_BYTES, check_device, check_recordings, check_step
from streamer.demo import ENROLMENT
from streamer.errors import AudioError, AudioUnreadable, ConfigurationError, StoreNotFound
from streamer.server.auth import new_token
from streamer.speakers import glance
from streamer.speakers.profiles import Exemplar
from streamer.speakers.store import SpeakerStore

VOICE = str(ENROLMENT["angus"])
RUN = """
import sys
from streamer.cli import main
code = main(sys.argv[1:])
print("torch" in sys.modules)
sys.exit(code)
"""
#: No microphone, whatever this machine has: what sounddevice is on a machine without one.
DEAF = """
import sys, types
def query_devices(device=None, kind=None):
    if device is None and kind is None:
        return []
    raise ValueError("No input device matching %r" % device)
sys.modules["sounddevice"] = types.SimpleNamespace(PortAudioError=OSError, query_devices=query_devices)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A recording, a text that is none, an empty file, a store with Ada in it, and a room that hears nothing."""
    folder = tmp_path_factory.mktemp("beforehand")
    soundfile.write(folder / "talk.wav", np.zeros(16_000), 16_000)
    (folder / "letter.wav").write_text("Dear Ada, this is no sound.\n" * 9)
    (folder / "empty.wav").touch()
    (folder / "letter.safetensors").write_text("Dear Ada, this is no model.\n" * 9)
    (folder / "nothing").mkdir()
    with SpeakerStore(folder / "people.db") as store:
        store.add("Ada", "0123456789abcdef", [Exemplar(np.ones(8, np.float32), 5.0)])
    (folder / "room.toml").write_text('[[input]]\nfile = "nowhere.wav"\n')
    (folder / "talk.toml").write_text('[[input]]\nfile = "talk.wav"\n')
    (folder / "tokens").write_text(new_token("kitchen", ["stream", "enroll"])[1])
    (folder / "deaf.toml").write_text('[[input]]\ndevice = "USB"\n')
    (folder / "names.toml").write_text('roster = ["Eda"]\nstore = "people.db"\n[[input]]\nfile = "talk.wav"\n')
    return folder


def said(arguments: list[str], folder: Path, code: str = RUN) -> str:
    """What a command that fails says; it must do so without torch, and quickly."""
    command = [sys.executable, "-c", code, *arguments]
    environment = os.environ | {"XDG_DATA_HOME": str(folder / "data")}
    done = cheap(lambda: run(command, cwd=folder, stdin=subprocess.DEVNULL, env=environment))
    assert done.returncode == 2, done
    assert done.stdout == "False\n"
    assert done.stderr.startswith("streamer: ")
    return done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "tolk.wav"], "'tolk.wav': no such file"),
        (["run", "nothing"], "is a directory"),
        (["run", "letter.wav"], "letter.wav"),
        (["run", "empty.wav"], "empty.wav"),
        (["run", "talk.wav", "--model", "campluss"], "'campluss' is no file or directory"),
        (["run", "talk.wav", "--model", "nothing"], "holds no model"),
        (["run", "talk.wav", "--model", "letter.safetensors"], "neither a torch checkpoint nor a safetensors file"),
        (["run", "talk.wav", "--device", "gpu"], "device='gpu' is not a device"),
        (["run", "talk.wav", "--step", "0"], "step=0.0 s"),
        (["run", "talk.wav", "--step", "0.7"], "not a multiple of step=0.7"),
        (["run", "talk.wav", "--speed", "-1"], "must be a positive number"),
        (["run", "talk.wav", "--rttm", "nowhere/a.rttm"], "there is no directory"),
        (["run", "talk.wav", "--store", "people.db", "--roster", "Eda"], "Did you mean Ada?"),
        (["run", "talk.wav", "--store", "poeple.db", "--roster", "Ada"], "there is no store at 'poeple.db'"),
        (["run", "talk.wav", "--roster", "Ada"], "not enrolled: Ada; enrolled are: nobody"),
        (["live", "--simulate", "--roster", "carl"], "Did you mean carol?"),
        (["live", "--record", "a.mp3"], "must end in .wav or .flac"),
        (["embed", "tolk.wav"], "'tolk.wav': no such file"),
        (["embed", "tolk.wav", "letter.wav"], "none of 2 files could be embedded"),
        (["verify", "talk.wav", "tolk.wav"], "'tolk.wav': no such file"),
        (["verify", "talk.wav", "talk.wav", "-m", "none.safetensors"], "'none.safetensors' is no file"),
        (["speakers", "enroll", "Ada", "tolk.wav"], "'tolk.wav': no such file"),
        (["speakers", "check", "--store", "poeple.db"], "there is no store at 'poeple.db'"),
        (["speakers", "list", "--store", "poeple.db"], "there is no store at 'poeple.db'"),
        (["speakers", "rename", "Ada", "Eda", "--store", "poeple.db"], "there is no store at 'poeple.db'"),
        (["speakers", "import", "none.json", "--store", "new.db"], "none.json"),
        (["meeting", "--config", "rooms.toml"], "streamer: 'rooms.toml': there is no such configuration"),
        (["meeting", "--config", "room.toml"], "nowhere.wav"),
        (["meeting", "--config", "names.toml"], "Did you mean Ada?"),
        (["meeting", "--config", "talk.toml", "--page", "70000"], "'--page'"),
        (["meeting", "--config", "talk.toml", "--host", "127.0.0.1"], "--host is about the page"),
        (["meeting", "--config", "talk.toml", "--origin", "https://a.example"], "--origin is about the page"),
        (["meeting", "--config", "talk.toml", "--page", "0", "--host", "0.0.0.0"], "--new-token NAME --scopes watch"),
        (["meeting", "--config", "talk.toml", "--page", "0", "--token-file", "none"], "none can't be read"),
        (["meeting", "--config", "talk.toml", "--page", "0", "--token-file", "tokens"], "no token in it may watch"),
        (["meeting", "--config", "talk.toml", "--page", "0", "--cert", "none"], "cert and key belong together"),
        (["model", "info", "none.safetensors"], "'none.safetensors' is no file"),
        (["model", "convert", "none.safetensors", "out.safetensors"], "'none.safetensors' is no file"),
        (["model", "drift", "default", "tolk.wav"], "'tolk.wav': no such file"),
        (["align", "words.srt", "turns.rttm"], "streamer: 'words.srt': there is no such transcript"),
        (["stream", "ws://127.0.0.1:1", "tolk.wav"], "'tolk.wav': no such file"),
        (["serve", "--model", "none.safetensors", "--port", "0"], "'none.safetensors' is no file"),
        (["serve", "--port", "0", "--token-file", "none"], "none can't be read"),
        (["serve", "--port", "0", "--cert", "none", "--key", "none"], "can't be used"),
        (["evaluate", "stream", "tolk.wav", "--rttm", "talk.wav"], "'tolk.wav': no such file"),
        (["evaluate", "verify", "none.txt"], "streamer: 'none.txt': there is no such trial list"),
        (["evaluate", "recordings", "nowhere"], "nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_answered_before_torch_is_imported(arguments, words, folder):
    there = sorted(path.name for path in folder.iterdir())
    assert words in said(arguments, folder)
    assert sorted(path.name for path in folder.iterdir()) == there


@pytest.mark.parametrize(
    "arguments",
    [
        ["live"],
        ["live", "--microphone", "USB"],
        ["speakers", "enroll", "Ada", "--mic"],
        ["stream", "ws://127.0.0.1:1", "--mic"],
        ["meeting", "--config", "deaf.toml"],
    ],
    ids=" ".join,
)
def test_no_microphone_is_answered_before_torch_is_imported(arguments, folder):
    assert "Input devices: none." in said(arguments, folder, DEAF + RUN)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_port_in_use_is_answered_before_torch_is_imported(host, folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = said(["serve", "--host", host, "--port", str(port)], folder)
    assert f"port {port} on {host} can't be listened on" in words
    assert "choose another with --port" in words


def test_a_page_whose_port_is_in_use_is_refused_before_a_microphone_is_looked_for(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = said(["meeting", "--config", "deaf.toml", "--page", str(port)], folder)
    assert f"port {port} on 127.0.0.1 can't be listened on" in words
    assert "choose another with --page or --host" in words


def test_a_store_that_is_none_is_found_before_torch_is_imported(folder):
    done = subprocess.run(
        [sys.executable, "-c", RUN, "run", "talk.wav", "--store", "letter.wav"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "False\n")
    assert "letter.wav: file is not a database" in done.stderr


def test_a_large_file_is_looked_at_without_being_searched_through(tmp_path):
    large = tmp_path / "large.wav"
    with large.open("wb") as file:
        file.write(b"This is a long letter.\n" * 400)
        file.truncate(OPENED_BYTES + 1)
    with pytest.raises(AudioUnreadable, match="is text, not audio"):
        check_recordings([large])


@pytest.mark.skipif(os.name != "posix", reason="named pipes are POSIX's")
def test_a_pipe_is_not_read_beforehand(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    check_recordings([tmp_path / "pipe"])


@pytest.mark.parametrize("name", ["auto", "cpu", "cuda", "cuda:1", "mps"])
def test_every_processor_that_help_names_is_taken(name):
    check_device(name)


@pytest.mark.parametrize("name", ["gpu", "", "cuda:", "0", "USB", "cuda:x"])
def test_what_is_no_processor_is_refused_with_those_that_are(name):
    with pytest.raises(ConfigurationError, match="use auto, cpu, cuda, cuda:N or mps"):
        check_device(name)


@pytest.mark.parametrize("step_s", [0.1, 0.25, 0.5, 1.0])
def test_steps_that_divide_the_windows_are_taken(step_s):
    check_step(step_s)


def test_a_bad_recording_is_refused_as_by_the_work_itself(folder):
    from streamer import read_audio

    for name in ("tolk.wav", "letter.wav", "nothing"):
        with pytest.raises(AudioError) as beforehand:
            check_recordings([folder / name])
        with pytest.raises(type(beforehand.value)) as later:
            read_audio(folder / name)
        assert str(beforehand.value) == str(later.value)


def test_a_glance_sees_who_a_store_sees(tmp_path):
    path = tmp_path / "people.db"
    with SpeakerStore(path) as store:
        for name in ("Zoë", "Ada"):
            store.add(name, "0123456789abcdef", [Exemplar(np.ones(8, np.float32), 5.0)])
        assert glance.names_in(path) == store.names()
    assert glance.names_in(path) == ["Ada", "Zoë"]
    glance.check_roster([" ADA ", "zoe\u0308"], ["Ada", "Zoë"])
    with pytest.raises(ConfigurationError, match="not enrolled: Bob; enrolled are: Ada, Zoë"):
        glance.check_roster(["Bob", "Ada"], ["Ada", "Zoë"])


def test_a_glance_makes_nothing(tmp_path):
    path = tmp_path / "deep" / "none.db"
    assert glance.names_in(path) == []
    assert glance.is_well(path)
    with pytest.raises(StoreNotFound):
        glance.require(str(path))
    glance.require(None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("store", "path"),
    [
        ("a.db", Path("a.db")),
        ("sqlite:///a.db", Path("a.db")),
        ("sqlite:////tmp/a.db", Path("/tmp/a.db")),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("postgresql+psycopg://db.example/rooms", None),
    ],
)
def test_a_store_is_a_file_or_not(store, path):
    assert glance.path_of(store) == path

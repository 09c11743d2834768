"""Files that are read and written, standard input and output, and names with any letters in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamer.cli import main
from streamer.demo import ENROLMENT

VOICE = ENROLMENT["angus"]
COMMAND = [sys.executable, "-m", "streamer.cli"]


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A folder with a recording, a store in which its speaker has brackets in their name, and another script's."""
    folder = tmp_path_factory.mktemp("room")
    samples, rate = soundfile.read(VOICE)
    soundfile.write(folder / "t [abc123].wav", samples, rate)
    store = str(folder / "a.db")
    assert main(["speakers", "enroll", "Ada [/dev] 王", str(folder / "t [abc123].wav"), "--store", store]) == 0
    return folder


def streamer(*arguments: str, folder: Path, **options: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *arguments], cwd=folder, capture_output=True, check=False, **options)


def test_square_brackets_in_names_and_file_names_are_text(room, capsys):
    store = ["--store", str(room / "a.db")]
    assert main(["speakers", "list", *store]) == 0
    assert "Ada [/dev] 王" in capsys.readouterr().out
    assert main(["speakers", "show", "Ada [/dev] 王", *store]) == 0
    assert "t [abc123].wav" in capsys.readouterr().out
    assert main(["run", str(room / "t [abc123].wav"), *store]) == 0
    assert capsys.readouterr().out.count("Ada [/dev] 王") == 2


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_an_output_without_a_letter_does_not_end_the_run(room, encoding):
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    command = ["run", "t [abc123].wav", "--store", "a.db", "--rttm", f"{encoding}.rttm"]
    plain = streamer(*command, folder=room, env=environment)
    assert plain.returncode == 0, plain.stderr
    assert b"Ada [/dev] ?" in plain.stdout
    assert "Ada_[/dev]_王" in (room / f"{encoding}.rttm").read_text(encoding="utf-8")
    # JSON has a way to write every letter, so that none is lost.
    lines = streamer(*command, "--json", folder=room, env=environment).stdout.decode(encoding).splitlines()
    assert "Ada [/dev] 王" in {json.loads(line).get("speaker") for line in lines}


@pytest.mark.parametrize(
    "arguments",
    [["tolk.wav"], ["t [abc123].wav", "--roster", "Nobody"], ["t [abc123].wav", "--model", "none.safetensors"]],
    ids=["no such input", "nobody of the roster", "no such model"],
)
def test_what_cannot_be_heard_costs_nobody_earlier_turns(room, arguments, monkeypatch):
    monkeypatch.chdir(room)
    keep = room / "keep.rttm"
    keep.write_text("SPEAKER talk 1 0.000 1.000 <NA> <NA> Ada <NA> <NA>\n")
    assert main(["run", *arguments, "--store", "a.db", "--rttm", "keep.rttm"]) == 2
    assert keep.read_text().count("Ada") == 1
    assert main(["run", *arguments, "--store", "a.db", "--rttm", "made.rttm"]) == 2
    assert not (room / "made.rttm").exists()


def test_what_is_read_is_never_written(room, model_file, clips, monkeypatch, capsys):
    monkeypatch.chdir(room)
    (room / "words.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n")
    (room / "turns.rttm").write_text("SPEAKER talk 1 0.000 1.000 <NA> <NA> Ada <NA> <NA>\n")
    os.link(clips[0], room / "linked.json")
    soundfile.write(room / "in.wav", np.zeros(16_000), 16_000)
    (room / "room.toml").write_text('store = "a.db"\n[[input]]\nfile = "in.wav"\n[sinks]\nvtt = "in.wav"\n')
    before = {path: path.read_bytes() for path in room.iterdir() if path.is_file()}
    for command in (
        ["run", "t [abc123].wav", "--store", "a.db", "--rttm", "./t [abc123].wav"],
        ["run", "t [abc123].wav", "--store", "a.db", "--rttm", "a.db"],
        ["run", "t [abc123].wav", "--store", "a.db", "--model", str(model_file), "--rttm", str(model_file)],
        ["embed", str(clips[0]), "-o", "linked.json", "--model", str(model_file)],
        ["align", "words.srt", "turns.rttm", "-o", "words.srt"],
        ["speakers", "export", "a.db", "--store", "a.db"],
        ["model", "convert", str(model_file), str(model_file), "--force"],
        ["meeting", "--config", "room.toml"],
    ):
        assert main(command) == 2, command
        assert "which is read; give another name" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in before} == before


def test_one_bad_file_does_not_lose_the_others(clips, model_file, tmp_path, capsys):
    output, bad = tmp_path / "e.npz", tmp_path / "letter.wav"
    bad.write_text("this is no audio" * 100)
    files = [str(clips[0]), str(bad), str(clips[1]), "nowhere.wav"]
    assert main(["embed", *files, "--model", str(model_file), "-o", str(output)]) == 2
    said = capsys.readouterr().err
    assert "letter.wav" in said
    assert "nowhere.wav" in said
    assert "2 of 4 files could not be embedded" in said
    with np.load(output) as written:
        assert written["path"].tolist() == [str(clips[0]), str(clips[1])]


def test_a_batch_of_bad_files_leaves_what_was_there(model_file, tmp_path):
    output = tmp_path / "e.json"
    output.write_text("earlier")
    assert main(["embed", "no.wav", "none.wav", "--model", str(model_file), "-o", str(output)]) == 2
    assert output.read_text() == "earlier"


def test_standard_input_is_a_file_like_any_other(clips, model_file, tmp_path, capsys):
    assert main(["embed", str(clips[0]), "--model", str(model_file)]) == 0
    expected = json.loads(capsys.readouterr().out)["embeddings"][0]["embedding"]
    done = streamer("embed", "-", "--model", str(model_file), folder=tmp_path, input=clips[0].read_bytes())
    (row,) = json.loads(done.stdout)["embeddings"]
    assert row["path"] == "standard input"
    np.testing.assert_allclose(row["embedding"], expected, atol=1e-5)
    command = ["verify", "-", str(clips[1]), "--model", str(model_file), "--least-speech", "0"]
    done = streamer(*command, folder=tmp_path, input=clips[0].read_bytes())
    assert done.returncode == 0, done.stderr
    done = streamer("verify", "-", "-", "--model", str(model_file), folder=tmp_path, input=clips[0].read_bytes())
    assert b"which can be read once" in done.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", b"standard input is empty"),
        (b"Dear Ada,\nthis is a letter and not a sound.\n" * 9, b"standard input is text, not audio"),
        (b"%PDF-1.7\n" + bytes(500), b"standard input is a PDF document, not audio"),
        (bytes(5000), b"Raw PCM needs a description"),
    ],
    ids=["nothing", "a letter", "a document", "raw PCM"],
)
def test_standard_input_that_is_no_audio_file_is_refused_with_the_way_out(model_file, tmp_path, content, words):
    done = streamer("embed", "-", "--model", str(model_file), folder=tmp_path, input=content)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stdout == b""


def test_run_hears_standard_input(room):
    done = streamer("run", "-", "--store", "a.db", folder=room, input=(room / "t [abc123].wav").read_bytes())
    assert done.returncode == 0, done.stderr
    assert "Ada [/dev] 王" in done.stdout.decode()


def test_a_closed_standard_output_is_said_and_nothing_breaks(room):
    line = f"exec '{sys.executable}' -m streamer.cli run 't [abc123].wav' --store a.db --rttm closed.rttm >&-"
    done = subprocess.run(["sh", "-c", line], cwd=room, capture_output=True, check=False)
    assert done.returncode == 0
    assert done.stderr == b"streamer: standard output is closed; nothing is printed to it.\n"
    assert "Ada" in (room / "closed.rttm").read_text()
    assert main(["speakers", "list", "--store", str(room / "a.db")]) == 0  # nothing was printed into the store


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_is_named(room):
    done = streamer("run", "t [abc123].wav", "--store", "a.db", "--rttm", "/dev/full", folder=room)
    assert done.returncode == 2
    assert b"/dev/full" in done.stderr
    with open("/dev/full", "wb") as full:
        command = [*COMMAND, "speakers", "export", "x.json", "--store", "a.db"]
        done = subprocess.run(command, cwd=room, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 2
    assert b"standard output" in done.stderr


def test_enrolling_a_recording_again_says_that_nothing_was_added(room, capsys):
    command = ["speakers", "enroll", "Ada [/dev] 王", str(room / "t [abc123].wav"), "--store", str(room / "a.db")]
    assert main(command) == 0
    assert "nothing new" in capsys.readouterr().out


def test_the_advice_about_a_store_names_an_option_that_the_command_has(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["serve", "--port", "0", "--store", str(tmp_path / "file" / "a.db")]) == 2
    assert "choose another store with the setting `store`" in capsys.readouterr().err
    assert main(["speakers", "enroll", "Ada", str(VOICE), "--store", str(tmp_path / "file" / "a.db")]) == 2
    assert "choose another store with --store" in capsys.readouterr().err


def test_two_profiles_of_one_voice_leave_an_unknown_speaker_and_not_nobody(tmp_path, capsys):
    store = ["--store", str(tmp_path / "twins.db")]
    for name in ("Ada", "Ida"):
        assert main(["speakers", "enroll", name, str(VOICE), "--force", *store]) == 0
    assert main(["run", str(VOICE), "--rttm", str(tmp_path / "a.rttm"), *store]) == 0
    said = capsys.readouterr().out
    assert "nobody spoke" not in said
    assert "unknown" in said
    assert "unknown" in (tmp_path / "a.rttm").read_text()

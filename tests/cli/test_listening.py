"""`streamer speakers`, `run` and `live`, as a user types them."""

import json
import signal
import subprocess
import sys
from dataclasses import fields

import pytest
import soundfile

from streamer.cli import main
from streamer.demo import CONVERSATION, ENROLMENT, REFERENCE
from streamer.evaluation.identification import identify
from streamer.meeting.config import MeetingSinks
from streamer.rttm import read_rttm
from streamer.sinks.files import OutputFiles

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "speakers.db"
    for name, file in ENROLMENT.items():
        assert main(["speakers", "enroll", name, str(file), "--store", str(path)]) == 0
    return str(path)


def test_the_enrolled_are_listed_with_their_speech(store, capsys):
    assert main(["speakers", "list", "--store", store]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["angus", "brian", "carol"]


def test_one_speaker_is_shown_and_a_stranger_is_not(store, capsys):
    assert main(["speakers", "show", "carol", "--store", store]) == 0
    assert "carol.ogg" in capsys.readouterr().out
    assert main(["speakers", "show", "zoe", "--store", store]) == 2
    assert "enrolled are: angus, brian, carol" in capsys.readouterr().err


def test_speakers_are_renamed_merged_exported_imported_and_removed(store, tmp_path, capsys):
    copy, other = str(tmp_path / "people.json"), str(tmp_path / "other.db")
    assert main(["speakers", "export", copy, "--store", store]) == 0
    assert main(["speakers", "import", copy, "--store", other]) == 0
    assert main(["speakers", "rename", "brian", "Brian May", "--store", other]) == 0
    assert main(["speakers", "merge", "angus", "Brian May", "--store", other]) == 0
    assert main(["speakers", "remove", "carol", "--yes", "--store", other]) == 0
    capsys.readouterr()
    assert main(["speakers", "list", "--store", other]) == 0
    out = capsys.readouterr().out
    assert "Brian May" in out
    assert "angus" not in out
    assert "carol" not in out


def test_a_check_says_whether_profiles_overlap(store, capsys):
    assert main(["speakers", "check", "--store", store]) == 0
    out = capsys.readouterr().out
    assert "3 speakers." in out
    assert ("no two profiles overlap." in out) != ("WARNING: angus and brian sound alike" in out)
    assert "carol and" not in out
    assert "suggested threshold: 0." in out


def test_an_enrolment_that_is_refused_says_why_in_one_line(store, capsys):
    assert main(["speakers", "enroll", "hamish", str(ENROLMENT["angus"]), "--store", store]) == 2
    error = capsys.readouterr().err.strip()
    assert error.count("\n") == 0
    assert "same_as_other: this sounds like angus" in error
    assert main(["speakers", "enroll", "hamish", "--store", store]) == 2
    assert "recordings to enrol from, or --mic" in capsys.readouterr().err


def test_a_file_is_followed_as_json_and_rttm(store, tmp_path, capsys):
    rttm = tmp_path / "out.rttm"
    command = ["run", str(CONVERSATION), "--store", store, "--roster", "carol", "--json", "--rttm", str(rttm)]
    assert main(command) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"speech_start", "speaker", "unknown", "turn_end", "speech_end"} <= {event["type"] for event in events}
    assert identify(read_rttm(REFERENCE), read_rttm(rttm), {"carol"}).right > 0.75


def test_a_run_writes_everything_that_a_meeting_does(store, tmp_path, capsys):
    wanted = {"jsonl": "a.jsonl", "rttm": "a.rttm", "vtt": "a.vtt", "srt": "a.srt", "audacity": "a.txt"}
    wanted |= {"minutes": "a.html"}
    (tmp_path / "run").mkdir()
    options = [word for name, path in wanted.items() for word in (f"--{name}", str(tmp_path / "run" / path))]
    assert main(["run", str(CONVERSATION), "--store", store, *options]) == 0
    said = capsys.readouterr().out
    assert all(str(tmp_path / "run" / path) in said for path in wanted.values())
    sinks = "\n".join(f'{name} = "{path}"' for name, path in wanted.items())
    room = f'title = "conversation"\nstore = "{store}"\n[[input]]\nfile = "{CONVERSATION}"\n[sinks]\n{sinks}\n'
    (tmp_path / "room.toml").write_text(room)
    assert main(["meeting", "--config", str(tmp_path / "room.toml")]) == 0
    turns = read_rttm(tmp_path / "run" / "a.rttm")
    assert len(turns) > 3
    for name, path in wanted.items():
        alone, room = ((folder / path).read_text() for folder in (tmp_path / "run", tmp_path))
        if name in ("vtt", "srt"):
            assert alone.count("-->") == len(turns), name
        # A room hears the same turns, with a channel to each event.
        assert room.count("carol") == alone.count("carol") > 0, name
    assert set(wanted) == {item.name for item in fields(OutputFiles)}
    assert {item.name for item in fields(MeetingSinks)} == {*wanted, "webhook"}


def test_two_outputs_that_are_one_file_are_refused(tmp_path, capsys):
    command = ["run", str(CONVERSATION), "--vtt", str(tmp_path / "a.vtt"), "--srt", str(tmp_path / "a.vtt")]
    assert main(command) == 2
    assert "are one file; give two names" in capsys.readouterr().err


def test_the_simulation_enrols_listens_and_says_how_right_it_was(capsys, tmp_path):
    kept = tmp_path / "kept.wav"
    assert main(["live", "--simulate", "--speed", "1000", "--record", str(kept)]) == 0
    said = capsys.readouterr()
    assert "enrolled carol" in said.err
    assert "labelled right" in said.err
    assert "talk time" in said.out
    assert soundfile.info(kept).frames == soundfile.info(CONVERSATION).frames


def test_a_recording_of_another_kind_is_refused_before_anything_is_heard(capsys, tmp_path):
    assert main(["live", "--simulate", "--record", str(tmp_path / "kept.mp3")]) == 2
    assert "must end in .wav or .flac" in capsys.readouterr().err


def test_interrupted_it_ends_cleanly_with_a_summary(store):
    command = [sys.executable, "-m", "streamer.cli", "run", str(CONVERSATION), "--speed", "6", "--store", store]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=30)
    assert process.returncode == 0, error
    assert "carol" in first
    assert "talk time" in out
    assert "Traceback" not in error

"""What is written: never what is read, never emptied for nothing, whole or not at all, and named where it fails."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from streamer.errors import ConfigurationError
from streamer.output import check_outputs, named, replacing, same_file


@pytest.fixture
def talk(tmp_path):
    path = tmp_path / "talk.wav"
    path.write_bytes(b"a recording")
    return path


@pytest.mark.parametrize("way", ["itself", "another spelling", "symbolic link", "hard link", "relative"])
def test_an_output_that_is_an_input_is_refused_by_whatever_path(talk, way, monkeypatch):
    other = talk.with_name("other")
    match way:
        case "itself":
            other = talk
        case "another spelling":
            other = talk.parent / ".." / talk.parent.name / talk.name
        case "symbolic link":
            other.symlink_to(talk)
        case "hard link":
            os.link(talk, other)
        case "relative":
            monkeypatch.chdir(talk.parent)
            other = Path("talk.wav")
    with pytest.raises(ConfigurationError, match=r"--rttm '.*' is '.*talk\.wav', which is read; give another name"):
        check_outputs({"--rttm": other}, [None, talk])
    assert talk.read_bytes() == b"a recording"


def test_a_link_that_leads_nowhere_yet_is_where_it_leads(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "later")
    assert same_file(link, tmp_path / "later")
    assert not same_file(link, tmp_path / "never")


def test_two_outputs_that_are_one_file_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"--record '.*x' and --rttm '.*x' are one file"):
        check_outputs({"--rttm": tmp_path / "x", "--record": tmp_path / "." / "x"})


def test_devices_may_be_read_and_written_at_once():
    check_outputs({"--rttm": "/dev/null", "--record": "/dev/null"}, ["/dev/null"])


def test_what_cannot_be_written_is_named_before_the_work_and_nothing_is_made(tmp_path):
    with pytest.raises(OSError, match=r"no directory '.*/none'.*none/x\.rttm"):
        check_outputs({"--rttm": tmp_path / "none" / "x.rttm"})
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        check_outputs({"--rttm": tmp_path})
    check_outputs({"--rttm": tmp_path / "x.rttm"})
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_whole_or_stays_as_it_was(talk):
    def fails() -> None:
        with replacing(talk) as new:
            new.write_bytes(b"half of")
            raise RuntimeError("the power went")

    with pytest.raises(RuntimeError, match="power"):
        fails()
    assert talk.read_bytes() == b"a recording"
    with replacing(talk) as new:
        new.write_bytes(b"all of it")
        assert talk.read_bytes() == b"a recording"
    assert talk.read_bytes() == b"all of it"
    assert os.listdir(talk.parent) == ["talk.wav"]


def test_a_file_beside_it_is_never_overwritten(talk):
    beside = talk.with_name("talk.wav.new")
    beside.write_text("somebody's own")
    with replacing(talk) as new:
        new.write_bytes(b"all of it")
    assert beside.read_text() == "somebody's own"


def test_replacing_keeps_permissions_and_links(talk):
    talk.chmod(0o640)
    link = talk.with_name("link")
    link.symlink_to(talk)
    with replacing(link) as new:
        new.write_bytes(b"all of it")
    assert link.is_symlink()
    assert talk.read_bytes() == b"all of it"
    assert stat.S_IMODE(talk.stat().st_mode) == 0o640
    with replacing(talk.with_name("made")) as new:
        new.write_bytes(b"")
    before = os.umask(0)
    os.umask(before)
    assert stat.S_IMODE(talk.with_name("made").stat().st_mode) == 0o666 & ~before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_says_on_which_file():
    def fill() -> None:
        with replacing("/dev/full") as new, new.open("wb", buffering=0) as file:
            file.write(b"x")

    with pytest.raises(OSError, match=r"No space left on device: '/dev/full'"):
        fill()


def test_an_error_that_names_its_file_keeps_it():
    def elsewhere() -> None:
        with named("this"):
            raise FileNotFoundError(2, "nothing there", "that")

    with pytest.raises(OSError, match="'that'"):
        elsewhere()

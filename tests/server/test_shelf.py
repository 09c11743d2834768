"""What lies on the shelf is found by its token alone, until it is forgotten or too old."""

from __future__ import annotations

import time

import pytest

from streamer.errors import ConfigurationError
from streamer.server.shelf import RESTART_S, Kept, Shelf

KEEP_S = 30.0
TOKEN = "d0nt-wr1te-me-down"
KEPT = Kept({"name": "room", "token": TOKEN}, "kitchen", "127.0.0.1", ((b"engine", b"tracker", 16_000),), 0.0)


class Clock:
    """The time of the files, and as much later as it is told."""

    def __init__(self) -> None:
        self.later_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.later_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shelf(tmp_path, clock):
    return Shelf(tmp_path / "state", KEEP_S, clock)


def test_a_session_stays_until_it_is_forgotten(shelf, clock):
    shelf.put(KEPT)
    for _ in range(2):
        clock.later_s += 5.0
        found = shelf.find(TOKEN)
        assert (found.session, found.client, found.channels) == (KEPT.session, "kitchen", KEPT.channels)
        assert found.away_s == pytest.approx(clock.later_s, abs=1.0)
    shelf.forget(TOKEN)
    assert shelf.find(TOKEN) is None
    shelf.forget(TOKEN)


def test_the_token_is_not_in_the_folder(shelf, tmp_path):
    shelf.put(KEPT)
    [file] = (tmp_path / "state").iterdir()
    assert TOKEN not in file.name
    assert TOKEN.encode() not in file.read_bytes()
    assert shelf.find("another") is None


def test_what_is_too_old_or_was_left_half_written_is_deleted_while_the_server_runs(shelf, clock, tmp_path):
    shelf.put(KEPT)
    (tmp_path / "state" / "half.part").write_bytes(b"voice prints")
    (tmp_path / "state" / "README").write_text("of the operator's")
    clock.later_s = KEEP_S + RESTART_S - 5.0
    shelf.clear()
    assert shelf.find(TOKEN) is not None
    assert len(list((tmp_path / "state").iterdir())) == 3
    clock.later_s = KEEP_S + RESTART_S + 5.0
    assert shelf.find(TOKEN) is None
    shelf.clear()
    assert [file.name for file in (tmp_path / "state").iterdir()] == ["README"]


def test_a_folder_that_is_a_file_is_said_at_the_start(tmp_path):
    (tmp_path / "state").write_text("")
    with pytest.raises(ConfigurationError, match="state_dir"):
        Shelf(tmp_path / "state", KEEP_S)

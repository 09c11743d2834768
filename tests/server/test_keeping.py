"""Where sessions lie while they live: each has one owner, and is found by its token until it is over or too old."""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from postgres import database, url

from streamer.errors import ConfigurationError, StateMismatch, StoreError
from streamer.server.config import ServerConfig
from streamer.server.keeping.database import Database
from streamer.server.keeping.folder import Folder
from streamer.server.keeping.keeper import LOOK_AGAIN_S, Keeper
from streamer.server.keeping.sessionsnapshot import SessionSnapshot, key_of
from streamer.server.keeping.sessionstore import FIRST, Item
from streamer.server.metrics import Metrics
from streamer.speakers.store import SpeakerStore

__all__ = ["database", "url"]

KEEP_S = 90.0
TOKEN = "d0nt-wr1te-me-down"
KEY = key_of(TOKEN)
KEPT = SessionSnapshot({"name": "room", "token": TOKEN}, "kitchen", "127.0.0.1", ((b"engine", b"tracker"),))


def item(fence: int = FIRST, key: str = KEY, **session: object) -> Item:
    kept = SessionSnapshot({**KEPT.session, **session}, KEPT.client, KEPT.address, KEPT.channels)
    return Item(key, fence, kept.client, kept.to_bytes())


class Folders:
    """Folders of one place, as several servers have them."""

    def __init__(self, path) -> None:
        self.path = path / "state"

    def open(self):
        return Folder(self.path, KEEP_S)

    def age(self, seconds: float) -> None:
        for file in self.path.iterdir():
            before = file.stat().st_mtime - seconds
            os.utime(file, (before, before))

    def contents(self) -> list[bytes]:
        return [file.name.encode() + file.read_bytes() for file in self.path.iterdir() if file.stat().st_size]


class Databases:
    """Connections to one database, as several servers have them."""

    def __init__(self, where: str) -> None:
        self.where = where
        self._opened: list[Database] = []

    def open(self):
        self._opened.append(Database(self.where, KEEP_S))
        return self._opened[-1]

    def age(self, seconds: float) -> None:
        with self.open()._engine.begin() as connection:
            connection.exec_driver_sql(f"UPDATE streamer_sessions SET at = at - {seconds}")

    def contents(self) -> list[bytes]:
        with self.open()._engine.begin() as connection:
            rows = connection.exec_driver_sql("SELECT key, client, data FROM streamer_sessions").all()
        return [f"{row[0]} {row[1]}".encode() + bytes(row[2]) for row in rows if row[2]]

    def close(self) -> None:
        for each in self._opened:
            each.close()


@pytest.fixture(params=["folder", "sqlite", "postgresql"])
def place(request, tmp_path):
    """Each kind of place, empty."""
    if request.param == "folder":
        yield Folders(tmp_path)
        return
    where = f"sqlite:///{tmp_path}/state.db" if request.param == "sqlite" else request.getfixturevalue("url")
    made = Databases(where)
    with made.open()._engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM streamer_sessions")
    yield made
    made.close()


def test_a_session_is_found_as_it_was_last_written_and_how_long_it_lies_there(place):
    session_store = place.open()
    assert session_store.put([item(said=1), item(key=key_of("another"))]) == [True, True]
    assert session_store.put([item(said=2)]) == [True]
    place.age(5.0)
    taken = place.open().take(KEY, "kitchen")
    kept = SessionSnapshot.from_bytes(taken.data)
    assert (kept.session, kept.client, kept.channels) == ({"name": "room", "said": 2}, "kitchen", KEPT.channels)
    assert taken.away_s == pytest.approx(5.0, abs=4.0)


def test_the_token_is_nowhere_and_nobody_finds_a_session_without_it(place):
    session_store = place.open()
    session_store.put([item()])
    [content] = place.contents()
    assert TOKEN.encode() not in content
    assert session_store.take(key_of("another"), "kitchen") is None


def test_another_client_does_not_get_a_session_and_does_not_cost_its_owner_it(place):
    session_store = place.open()
    session_store.put([item()])
    assert session_store.take(KEY, "thief") is None
    assert session_store.holds(KEY, FIRST)
    assert session_store.put([item()]) == [True]


def test_a_former_owner_cannot_write_over_the_present_one_nor_end_its_session(place):
    before, after = place.open(), place.open()
    before.put([item(said="before")])
    taken = after.take(KEY, "kitchen")
    assert taken.fence > FIRST
    assert not before.holds(KEY, FIRST)
    assert before.put([item(said="late"), item(key=key_of("another"))]) == [False, True], "only this one is lost"
    before.forget(KEY, FIRST)
    assert after.holds(KEY, taken.fence)
    assert after.put([item(taken.fence, said="after")]) == [True]
    assert before.put([item(said="later still")]) == [False]
    again = place.open().take(KEY, "kitchen")
    assert SessionSnapshot.from_bytes(again.data).session["said"] == "after"
    assert again.fence > taken.fence


def test_of_many_who_take_one_session_at_once_each_has_another_number(place):
    place.open().put([item()])
    session_stores = [place.open() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda session_store: session_store.take(KEY, "kitchen"), session_stores))
    fences = [one.fence for one in taken if one is not None]
    assert len(set(fences)) == 4
    assert place.open().holds(KEY, max(fences))


def test_a_session_that_is_over_is_gone_and_no_former_owner_brings_it_back(place):
    session_store = place.open()
    session_store.put([item()])
    taken = place.open().take(KEY, "kitchen")
    for _ in range(2):
        session_store.forget(KEY, taken.fence)
        assert session_store.take(KEY, "kitchen") is None
        assert not session_store.holds(KEY, taken.fence)
        assert place.contents() == []
    assert session_store.put([item()]) == [False]


def test_an_owner_writes_again_where_the_place_was_emptied(place):
    session_store = place.open()
    session_store.put([item(3)])
    place.age(2 * KEEP_S)
    session_store.clear()
    assert session_store.put([item(3)]) == [True]
    assert session_store.holds(KEY, 3)


def test_what_is_too_old_is_not_given_out_and_deleted(place):
    session_store = place.open()
    session_store.put([item()])
    place.age(KEEP_S - 10.0)
    session_store.clear()
    assert len(place.contents()) == 1
    place.age(20.0)
    assert session_store.take(KEY, "kitchen") is None
    session_store.clear()
    assert place.contents() == []


def test_two_that_are_the_first_at_once_are_both_served(tmp_path, url):
    with ThreadPoolExecutor(4) as pool:
        for where in (url, f"sqlite:///{tmp_path}/state.db"):
            for session_store in pool.map(lambda where: Database(where, KEEP_S), [where] * 4):
                assert not session_store.holds(KEY, FIRST)
                session_store.close()


def test_sessions_and_speakers_share_a_database_whichever_was_first(tmp_path):
    where = f"sqlite:///{tmp_path}/both.db"
    session_store = Database(where, KEEP_S)
    with SpeakerStore(where) as store:
        assert store.names() == []
    session_store.put([item()])
    again = Database(where, KEEP_S)
    assert again.holds(KEY, FIRST)
    for one in (session_store, again):
        one.close()


def test_what_was_left_half_written_is_deleted_and_what_is_another_s_is_not(tmp_path):
    place = Folders(tmp_path)
    session_store = place.open()
    (place.path / "half.part").write_bytes(b"voice prints")
    (place.path / "README").write_text("of the operator's")
    place.age(2 * KEEP_S)
    session_store.clear()
    assert [file.name for file in place.path.iterdir()] == ["README"]


def test_a_write_that_fails_leaves_the_state_of_before_and_no_part(tmp_path, monkeypatch):
    place = Folders(tmp_path)
    session_store = place.open()
    session_store.put([item(said="before")])
    with monkeypatch.context() as full:
        full.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space"):
            session_store.put([item(said="after")])
    assert [file.suffix for file in place.path.iterdir()] == [".session"]
    assert SessionSnapshot.from_bytes(session_store.take(KEY, "kitchen").data).session["said"] == "before"


def test_a_disk_that_is_full_is_a_store_error(tmp_path):
    session_store = Database(f"sqlite:///{tmp_path}/state.db", KEEP_S)
    with session_store._engine.begin() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    with session_store._engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        connection.commit()
        big = SessionSnapshot(KEPT.session, "kitchen", "127.0.0.1", ((bytes(1 << 20), b""),)).to_bytes()
    with pytest.raises(StoreError):
        session_store.put([Item(KEY, FIRST, "kitchen", big)])
    session_store.close()


def test_a_place_that_cannot_be_is_said_at_the_start(tmp_path):
    (tmp_path / "state").write_text("")
    with pytest.raises(ConfigurationError, match="state_dir"):
        Folders(tmp_path).open()
    with pytest.raises(StoreError):
        Database(f"sqlite:///{tmp_path}/state/sessions.db", KEEP_S)
    with pytest.raises(ConfigurationError, match="state_dir and state_store"):
        ServerConfig(state_dir="here", state_store="sqlite:///there.db")


def test_bytes_of_anything_else_are_no_session():
    for data in (b"", b"PK", os.urandom(4096), KEPT.to_bytes()[:-20]):
        with pytest.raises(StateMismatch):
            SessionSnapshot.from_bytes(data)


def test_an_age_is_never_negative_however_clocks_jump(tmp_path):
    place = Folders(tmp_path)
    place.open().put([item()])
    place.age(-3600.0)
    assert place.open().take(KEY, "kitchen").away_s == 0.0


async def test_a_session_is_found_that_its_server_writes_only_after_its_client_has_come_to_another(tmp_path):
    theirs, ours = Folder(tmp_path, KEEP_S), Folder(tmp_path, KEEP_S)
    keeper = Keeper(ours, 1.0, Metrics(), time.monotonic)
    looking = asyncio.create_task(keeper.take(TOKEN, "kitchen"))
    await asyncio.sleep(2 * LOOK_AGAIN_S)
    assert not looking.done()
    theirs.put([item()])
    taken = await looking
    assert taken is not None and taken.data == item().data
    await keeper.close()


async def test_a_session_that_nobody_writes_is_not_looked_for_for_ever(tmp_path):
    keeper = Keeper(Folder(tmp_path, KEEP_S), 1.0, Metrics(), time.monotonic)
    assert await keeper.take(TOKEN, "kitchen") is None
    await keeper.close()

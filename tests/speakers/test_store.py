import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sqlalchemy import event

from streamer.errors import (
    ConfigurationError,
    MissingDependency,
    SpeakerExists,
    SpeakerNotFound,
    StoreBusy,
    StoreFull,
    StoreNotErased,
    StoreReadOnly,
    StoreTooNew,
    StoreUnreadable,
)
from streamer.speakers.glance import default_path
from streamer.speakers.profiles import Exemplar
from streamer.speakers.store import SpeakerStore

MODEL = "0123456789abcdef"


def exemplar(seed=0, speech_s=8.0):
    return Exemplar(np.random.default_rng(seed).standard_normal(16).astype(np.float32), speech_s, 20.0, 1e9, "a.wav")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "people" / "speakers.db"


@pytest.fixture
def store(path):
    with SpeakerStore(path) as store:
        yield store


def test_what_is_enrolled_comes_back_to_the_bit(store):
    store.add("Ada", MODEL, [exemplar(1), exemplar(2)])
    (profile,) = store.profiles(MODEL)
    assert (profile.name, profile.fingerprint, profile.speech_s) == ("Ada", MODEL, 16.0)
    for kept, given in zip(profile.exemplars, [exemplar(1), exemplar(2)], strict=True):
        assert np.array_equal(kept.embedding, given.embedding)
        assert (kept.speech_s, kept.quality, kept.created, kept.source) == (8.0, 20.0, 1e9, "a.wav")


def test_adding_refines_a_profile_and_the_same_again_changes_nothing(store):
    store.add("Ada", MODEL, [exemplar(1)])
    store.add("Ada", MODEL, [exemplar(1), exemplar(2)])
    assert len(store.profiles(MODEL)[0].exemplars) == 2


def test_vectors_of_another_model_are_never_given_out_together(store):
    store.add("Ada", MODEL, [exemplar(1)])
    store.add("Ada", "f" * 16, [exemplar(2)])
    assert [len(profile.exemplars) for profile in store.profiles(MODEL)] == [1]
    assert store.profiles("e" * 16) == []
    assert store.fingerprints() == {"Ada": [MODEL, "f" * 16]}


def test_a_speaker_is_renamed_merged_and_removed(store):
    store.add("Ada", MODEL, [exemplar(1)])
    store.add("Bob", MODEL, [exemplar(2)])
    store.rename("Ada", "Ada Lovelace")
    with pytest.raises(SpeakerExists, match="'Bob' is enrolled already"):
        store.rename("Ada Lovelace", "Bob")
    store.merge("Bob", into="Ada Lovelace")
    assert [(p.name, len(p.exemplars)) for p in store.profiles()] == [("Ada Lovelace", 2)]
    store.remove("Ada Lovelace")
    assert store.names() == []
    with pytest.raises(SpeakerNotFound, match="nobody called 'Bob' is enrolled; enrolled are: nobody"):
        store.remove("Bob")


def test_what_is_removed_is_gone_from_the_file(store, path):
    vector = exemplar(7)
    store.add("Zebediah Quill", MODEL, [vector])
    raw = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"Zebediah Quill" in raw
    store.remove("Zebediah Quill")
    raw = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"Zebediah" not in raw
    assert vector.embedding.tobytes()[:16] not in raw


def test_another_process_sees_a_change_at_the_next_look(store, path):
    with SpeakerStore(path) as other:
        before = other.changes()
        store.add("Ada", MODEL, [exemplar(1)])
        assert other.changes() > before
        assert other.names() == ["Ada"]
        assert other.changes() == store.changes()


def test_looking_for_changes_costs_little(store):
    start = time.perf_counter()
    for _ in range(100):
        store.changes()
    assert time.perf_counter() - start < 1.0


@pytest.mark.parametrize(
    "name",
    ["", "   ", "guest-3", "unknown", "a\x00b", "x" * 101],
    ids=["empty", "blank", "guest", "unknown", "nul", "long"],
)
def test_a_name_that_cannot_be_one_is_refused(store, name):
    with pytest.raises(ConfigurationError):
        store.add(name, MODEL, [exemplar()])


def test_one_name_has_one_spelling(store):
    store.add("Zoe\u0308  Smith ", MODEL, [exemplar(1)])
    store.add("Zo\u00eb Smith", MODEL, [exemplar(2)])
    assert store.names() == ["Zo\u00eb Smith"]


def test_a_vector_that_is_not_finite_is_refused(store):
    with pytest.raises(ConfigurationError, match="finite"):
        store.add("Ada", MODEL, [Exemplar(np.array([np.nan], np.float32), 1.0)])
    assert store.names() == []


def test_a_guest_can_be_named_and_is_then_no_guest_any_more(store):
    store.remember_guest("monday", "guest-1", MODEL, exemplar(1))
    store.remember_guest("monday", "guest-1", MODEL, exemplar(2))
    store.remember_guest("tuesday", "guest-1", MODEL, exemplar(3))
    store.name_guest("guest-1", "Ada")
    assert np.array_equal(store.profiles(MODEL)[0].exemplars[0].embedding, exemplar(3).embedding)
    assert [(stream, label) for stream, label, _, _ in store.guests()] == [("monday", "guest-1")]
    with pytest.raises(SpeakerNotFound, match="no 'guest-7' to name; guests of the last day: guest-1"):
        store.name_guest("guest-7", "Bob")


def test_guests_do_not_count_as_a_change_of_the_enrolled(store):
    before = store.changes()
    store.remember_guest("monday", "guest-1", MODEL, exemplar(1))
    assert store.changes() == before
    store.forget_guests()
    assert store.guests() == []


def test_a_guest_nobody_named_within_a_day_is_deleted(store, monkeypatch):
    store.remember_guest("monday", "guest-1", MODEL, exemplar(1))
    tomorrow = time.time() + 90_000
    monkeypatch.setattr("streamer.speakers.store.time.time", lambda: tomorrow)
    assert store.guests() == []
    store.remember_guest("tuesday", "guest-1", MODEL, exemplar(2))
    with sqlite3.connect(store.where) as raw:
        assert raw.execute("select count(*) from streamer_guests").fetchone() == (1,)
    raw.close()


# What can be wrong with a store


def test_a_guest_of_long_ago_is_deleted_when_the_store_is_opened(store, path):
    store.remember_guest("monday", "guest-1", MODEL, exemplar(1))
    with sqlite3.connect(path) as raw:
        raw.execute("update streamer_guests set created = created - 100000")
    raw.close()
    SpeakerStore(path).close()
    with sqlite3.connect(path) as raw:
        assert raw.execute("select count(*) from streamer_guests").fetchone() == (0,)
    raw.close()


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
def test_nobody_else_can_read_the_voice_prints(store, path):
    store.add("Ada", MODEL, [exemplar(1)])
    assert {file.name: oct(file.stat().st_mode & 0o777) for file in path.parent.iterdir()} == {
        name: "0o600" for name in ("speakers.db", "speakers.db-wal", "speakers.db-shm")
    }


def test_a_store_of_a_newer_version_is_left_alone(store, path):
    with sqlite3.connect(path) as raw:
        raw.execute("update streamer_meta set value = 99 where key = 'schema_version'")
    raw.close()
    with pytest.raises(StoreTooNew, match=r"schema 99, this version of streamer knows up to 2; upgrade"):
        SpeakerStore(path)


def test_a_file_that_is_no_database_is_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("buy milk\n" * 200)
    with pytest.raises(StoreUnreadable, match=r"notes\.txt.*it is left as it is"):
        SpeakerStore(path)
    assert path.read_text() == "buy milk\n" * 200


def test_a_damaged_store_says_so(store, path):
    store.add("Ada", MODEL, [exemplar(i) for i in range(200)])
    store.close()
    data = bytearray(path.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(StoreUnreadable), SpeakerStore(path) as damaged:
        damaged.profiles(MODEL)


def test_somebody_elses_database_is_left_alone(tmp_path):
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as raw:
        raw.execute("create table invoices (id)")
    raw.close()
    with pytest.raises(StoreUnreadable, match=r"not a speaker store \(it has invoices\)"):
        SpeakerStore(path)


def test_a_folder_that_cannot_be_made_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreReadOnly, match="cannot make a folder"):
        SpeakerStore(tmp_path / "file" / "speakers.db")


def test_a_store_that_may_not_be_written_can_still_be_read(store, path):
    store.add("Ada", MODEL, [exemplar(1)])
    readonly = SpeakerStore(path)
    _on_connect(readonly, "PRAGMA query_only=ON")
    with pytest.raises(StoreReadOnly, match="make the file and its folder writable"):
        readonly.add("Bob", MODEL, [exemplar(2)])
    assert readonly.names() == ["Ada"]
    readonly.close()


def test_a_full_disk_loses_nothing(store, path):
    store.add("Ada", MODEL, [exemplar(1)])
    full = SpeakerStore(path)
    _on_connect(full, "PRAGMA max_page_count=1")
    with pytest.raises(StoreFull, match="free some space; nothing of this change was written"):
        full.add("Bob", MODEL, [exemplar(i) for i in range(500)])
    full.close()
    assert store.names() == ["Ada"]
    store.add("Bob", MODEL, [exemplar(2)])


def test_a_store_held_by_another_for_too_long_says_so(store, path):
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("begin immediate")
    impatient = SpeakerStore.__new__(SpeakerStore)
    with pytest.raises(StoreBusy, match="another process is writing"):
        impatient.__init__(path, busy_s=0.05)
    holder.execute("rollback")
    holder.close()


def test_a_database_without_its_driver_says_what_to_install():
    with pytest.raises((MissingDependency, ConfigurationError)):
        SpeakerStore("nosuchdatabase://localhost/speakers")


def _on_connect(store, pragma):
    store._engine.dispose()
    event.listen(store._engine, "connect", lambda connection, record: connection.execute(pragma))


def test_the_default_store_lies_in_the_users_data_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    if sys.platform == "linux":
        assert default_path() == tmp_path / "streamer" / "speakers.db"


# Several processes

ENROL = """
    import sys, numpy as np
    from streamer.speakers.profiles import Exemplar
    from streamer.speakers.store import SpeakerStore
    path, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    store = SpeakerStore(path)
    print("ready", flush=True)
    for i in range(first, first + count):
        vectors = np.random.default_rng(i).standard_normal((3, 16)).astype(np.float32)
        store.add(f"speaker {i % 10}", "0123456789abcdef", [Exemplar(v, float(i), created=1.0) for v in vectors])
        print(i, flush=True)
"""


def enrolling(path, first, count):
    command = [sys.executable, "-c", textwrap.dedent(ENROL), str(path), str(first), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_enrolling_at_once_lose_nothing(store, path):
    processes = [enrolling(path, 0, 40), enrolling(path, 1000, 40)]
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    kept = sum(len(profile.exemplars) for profile in store.profiles(MODEL))
    assert kept == 2 * 40 * 3
    assert store.changes() == 80


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_killed_in_the_middle_of_an_enrolment_the_store_holds_all_of_it_or_none(path):
    SpeakerStore(path).close()
    rng = np.random.default_rng(5)
    # The suite kills three times; STREAMER_KILLS=100 does it a hundred times.
    for kill in range(int(os.environ.get("STREAMER_KILLS", "3"))):
        process = enrolling(path, 1000 * kill, 10_000)
        wanted = int(rng.integers(1, 20))
        done = []
        for line in process.stdout:
            done.append(line)
            if len(done) == wanted + 1:
                break
        # The next one is being written now.
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with SpeakerStore(path) as store:
            by_enrolment = {}
            for profile in store.profiles(MODEL):
                for kept in profile.exemplars:
                    by_enrolment[kept.speech_s] = by_enrolment.get(kept.speech_s, 0) + 1
            assert set(by_enrolment.values()) == {3}
            assert all(float(1000 * kill + i) in by_enrolment for i in range(wanted))


def test_a_store_in_memory_is_one_store_for_every_thread():
    with SpeakerStore("sqlite://") as store, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: store.add(f"Ada {number}", MODEL, [exemplar(number)]), range(12)))
        assert len(store.names()) == len(store.profiles(MODEL)) == 12


# What was deleted leaves the files too

READER = """
    import sys, sqlite3
    raw = sqlite3.connect(sys.argv[1], isolation_level=None)
    raw.execute("begin")
    raw.execute("select count(*) from streamer_speakers").fetchone()
    print("reading", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def reader(path):
    """Another process that reads, and does not let go until it is told."""
    processes = []

    def read():
        command = [sys.executable, "-c", textwrap.dedent(READER), str(path)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout.readline() == "reading\n"
        return process

    yield read
    for process in processes:
        if process.returncode is None:
            process.communicate("\n")


def everything(path):
    return b"".join(file.read_bytes() for file in path.parent.iterdir())


def remove(store):
    store.remove("Zebediah Quill")


def rename(store):
    store.rename("Zebediah Quill", "Somebody Else")


def merge(store):
    store.add("Bob", MODEL, [exemplar(2)])
    store.merge("Zebediah Quill", "Bob")


@pytest.mark.parametrize("change", [remove, rename, merge])
def test_while_another_process_reads_it_is_said_that_the_name_is_still_there_and_later_it_is_gone(path, reader, change):
    vector = exemplar(7)
    with SpeakerStore(path, busy_s=0.2) as store:
        store.add("Zebediah Quill", MODEL, [vector])
        held = reader()
        with pytest.raises(StoreNotErased, match=r"is still in .*speakers\.db-wal: another process has been reading"):
            change(store)
        assert "Zebediah Quill" not in store.names(), "for everybody who asks, it is done"
        assert b"Zebediah" in everything(path)
        assert store.erasing()
        assert not store.finish_erasing(0.0)
        store.add("Carol", MODEL, [exemplar(5)])  # nobody is held up by what is still to be erased
        held.communicate("\n")
        assert store.finish_erasing()
        assert not store.erasing()
    raw = everything(path)
    assert b"ebediah" not in raw.lower()
    if change is remove:
        assert vector.embedding.tobytes()[:16] not in raw


def test_what_could_not_be_erased_then_is_erased_by_who_opens_the_store_next(path, reader):
    first = SpeakerStore(path, busy_s=0.1)
    first.add("Zebediah Quill", MODEL, [exemplar(7)])
    held, alive = reader(), SpeakerStore(path)
    with pytest.raises(StoreNotErased):
        first.remove("Zebediah Quill")
    first.close()
    held.communicate("\n")
    with SpeakerStore(path):
        assert b"ebediah" not in everything(path).lower()
    alive.close()


def test_short_readers_all_the_while_do_not_keep_what_was_removed(path, store):
    """What a server does: it looks twice a second, here as fast as it can."""
    store.add("Zebediah Quill", MODEL, [exemplar(7)])
    stop = threading.Event()

    def look():
        with SpeakerStore(path) as other:
            while not stop.is_set():
                other.pulse()
                other.profiles(MODEL)

    with ThreadPoolExecutor(2) as pool:
        looking = [pool.submit(look) for _ in range(2)]
        try:
            store.remove("Zebediah Quill")
            assert b"ebediah" not in everything(path).lower()
        finally:
            stop.set()
        for future in looking:
            future.result()


def test_guests_that_are_forgotten_leave_the_files_too(path, store):
    vector = exemplar(11)
    store.remember_guest("monday", "guest-1", MODEL, vector)
    assert vector.embedding.tobytes()[:16] in everything(path)
    store.forget_guests()
    assert vector.embedding.tobytes()[:16] not in everything(path)


def test_a_name_in_another_case_is_the_same_person(store):
    store.add("Ada", MODEL, [exemplar(1)])
    store.add(" ada ", MODEL, [exemplar(2)])
    assert [(profile.name, len(profile.exemplars)) for profile in store.profiles()] == [("Ada", 2)]
    store.rename("ADA", "ada")
    assert store.names() == ["ada"]
    store.remove("Ada")
    assert store.names() == []


def test_a_name_that_nobody_has_is_answered_with_a_few_of_those_there_are(store):
    for number in range(30):
        store.add(f"person {number:02}", MODEL, [exemplar(number)])
    with pytest.raises(SpeakerNotFound) as error:
        store.remove("Bob")
    assert len(str(error.value)) < 400

"""The speakers in memory follow the store, at the cost of what has changed."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.speakers.backend import Cohort
from streamer.speakers.known import Known
from streamer.speakers.profiles import Exemplar, Roster
from streamer.speakers.store import SpeakerStore
from streamer.speakers.tables import REMEMBERED, metadata

MODEL, OTHER = "0123456789abcdef", "f" * 16
DIMENSION = 8
COHORT = Cohort(np.random.default_rng(9).standard_normal((30, DIMENSION)), top=5)


def exemplar(seed: int, speech_s: float = 3.0) -> Exemplar:
    return Exemplar(np.random.default_rng(seed).standard_normal(DIMENSION).astype(np.float32), speech_s)


def same(known: Known, store: SpeakerStore) -> None:
    """What was followed is what a new look at everything finds."""
    wanted = Roster.of(store.profiles(MODEL), DIMENSION)
    assert known.roster.names == wanted.names
    np.testing.assert_allclose(known.roster.centroids, wanted.centroids, atol=1e-6)
    np.testing.assert_allclose(known.roster.speech_s, wanted.speech_s, rtol=1e-6)
    np.testing.assert_allclose(known.roster.norms(COHORT), wanted.norms(COHORT), atol=1e-5)
    assert known.counts.tolist() == [len(profile.exemplars) for profile in store.profiles(MODEL)]
    assert [known.roster.index(name) for name in wanted.names] == list(range(len(wanted)))


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add other", "rename", "remove", "merge", "remove other"]),
        st.integers(0, 6),
        st.integers(0, 6),
    ),
    max_size=12,
)


@settings(max_examples=40)
@given(st.lists(CHANGES, max_size=4))
def test_whatever_changes_the_followed_are_those_of_the_store(rounds):
    with SpeakerStore("sqlite://") as store:
        known = Known.load(store, MODEL, DIMENSION, COHORT)
        for number, changes in enumerate(rounds):
            for kind, one, other in changes:
                names = set(store.names())
                name, to = f"name {one}", f"name {other}"
                if kind == "add":
                    store.add(name, MODEL, [exemplar(100 * number + one)])
                elif kind == "add other":
                    store.add(name, OTHER, [exemplar(one)])
                elif kind == "rename" and name in names and to not in names:
                    store.rename(name, to)
                elif kind == "remove" and name in names:
                    store.remove(name)
                elif kind == "remove other" and name in names:
                    store.remove(name, OTHER)
                elif kind == "merge" and {name, to} <= names and one != other:
                    store.merge(name, to)
            before = known
            known, _ = known.follow(store, MODEL, COHORT)
            same(known, store)
            voices = dict(zip(before.roster.names, before.ids.tolist(), strict=True))
            places = known.roster.moves_from(before.roster).places
            for name, place, number_now in zip(known.roster.names, places, known.ids.tolist(), strict=True):
                if place >= 0:
                    assert voices[before.roster.names[place]] == number_now, f"{name} is somebody else now"


def test_a_stream_that_missed_some_changes_carries_everybody_over_all_of_them():
    with SpeakerStore("sqlite://") as store:
        for number in range(6):
            store.add(f"name {number}", MODEL, [exemplar(number)])
        first = known = Known.load(store, MODEL, DIMENSION, COHORT)
        for change in (
            lambda: store.remove("name 2"),
            lambda: store.rename("name 4", "a first name"),
            lambda: store.add("name 1", MODEL, [exemplar(60)]),
            lambda: store.add("zoe", MODEL, [exemplar(61)]),
        ):
            change()
            known, _ = known.follow(store, MODEL, COHORT)
        moves = known.roster.moves_from(first.roster)
        before = [first.roster.names[place] if place >= 0 else None for place in moves.places]
        assert dict(zip(known.roster.names, before, strict=True)) == {
            **{name: name for name in ("name 0", "name 1", "name 3", "name 5")},
            **{"a first name": "name 4", "zoe": None},
        }
        fresh = [name for name, new in zip(known.roster.names, moves.fresh, strict=True) if new]
        assert fresh == ["a first name", "name 1", "zoe"]


def test_who_follows_from_too_far_back_reads_everybody_again():
    with SpeakerStore("sqlite://") as store:
        store.add("Ada", MODEL, [exemplar(1)])
        known = Known.load(store, MODEL, DIMENSION)
        store.remove("Ada")
        with store._write(quiet=True) as (connection, _):
            meta = metadata.tables["streamer_meta"]
            connection.execute(meta.update().where(meta.c.key == "changes").values(value=REMEMBERED + 10))
        known, change = known.follow(store, MODEL)
        assert change.whole
        assert known.roster.names == ()


def bulk(path: Path, people: int) -> SpeakerStore:
    """A store with so many people, written at once."""
    rng = np.random.default_rng(3)
    store = SpeakerStore(path)
    tables = metadata.tables
    with store._write() as (connection, revision):
        rows = [
            {"id": n + 1, "name": f"P {n:06}", "folded": f"p {n:06}", "created": 1.0, "revision": revision}
            for n in range(people)
        ]
        connection.execute(tables["streamer_speakers"].insert(), rows)
        connection.execute(
            tables["streamer_exemplars"].insert(),
            [
                {
                    "speaker": n + 1,
                    "fingerprint": MODEL,
                    "embedding": rng.standard_normal(DIMENSION).astype("<f4").tobytes(),
                    **{"speech_s": 9.0, "quality": 20.0, "created": 1.0, "source": ""},
                }
                for n in range(people)
            ],
        )
    return store


def test_a_change_costs_the_same_however_many_are_enrolled(tmp_path):
    """It reads one row, not all; the copy of the matrix is what grows, and that is quick."""
    took = {}
    for people in (100, 20_000):
        with bulk(tmp_path / f"{people}.db", people) as store:
            known = Known.load(store, MODEL, DIMENSION, COHORT)
            tries = []
            for number in range(5):
                store.add(f"new {number}", MODEL, [exemplar(number)])
                began = time.perf_counter()
                known, change = known.follow(store, MODEL, COHORT)
                tries.append(time.perf_counter() - began)
                assert change.voices.names == [f"new {number}"]
            same(known, store) if people == 100 else None
            took[people] = min(tries)
    assert took[20_000] < took[100] + 0.3, took


def test_an_older_store_is_brought_up_to_date_with_all_who_are_in_it(tmp_path):
    import sqlite3

    path = tmp_path / "old.db"
    with sqlite3.connect(path) as raw:
        raw.executescript(
            """
            create table streamer_meta (key varchar(32) primary key, value integer not null);
            insert into streamer_meta values ('schema_version', 1), ('changes', 7);
            create table streamer_speakers (id integer primary key, name varchar(100) not null unique, created float);
            insert into streamer_speakers values (1, 'Ada', 1.0), (2, 'ada', 2.0), (3, 'Zo\u00eb', 3.0);
            create table streamer_exemplars (id integer primary key, speaker integer references streamer_speakers(id),
                fingerprint varchar(16), embedding blob, speech_s float, quality float, created float, source varchar);
            create table streamer_guests (id integer primary key, stream varchar(64), label varchar(32),
                fingerprint varchar(16), embedding blob, speech_s float, quality float, created float, source varchar);
            """
        )
        for speaker in (1, 2, 3):
            row = (speaker, MODEL, exemplar(speaker).embedding.tobytes())
            raw.execute("insert into streamer_exemplars values (null, ?, ?, ?, 5.0, 20.0, 1.0, 'x')", row)
    raw.close()
    with SpeakerStore(path) as store:
        assert store.names() == ["Ada", "Zo\u00eb", "ada"]
        assert store.spelled("zoe\u0308") == "Zo\u00eb"
        assert store.spelled("ada") == "ada", "who is spelled just so comes first"
        store.add("ZO\u00cb", MODEL, [exemplar(4)])
        store.remove("ada")
        known = Known.load(store, MODEL, DIMENSION, COHORT)
        same(known, store)
        assert store.changes() == 9
    with SpeakerStore(path) as again:
        assert again.names() == ["Ada", "Zo\u00eb"]


@pytest.mark.parametrize("names", [["ada"], ["ADA", "bob"]])
def test_a_roster_finds_those_invited_in_whatever_spelling(names):
    roster = Roster(["Ada", "Bob", "Cy"], np.eye(3), [1.0, 2.0, 3.0])
    assert [name.casefold() for name in roster.restricted(names).names] == [name.casefold() for name in names]

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.audio.chunks import SAMPLE_RATE as S
from streamer.evaluation.identification import delays_s, final_turns, flips, identify, shown_turns
from streamer.rttm import read_rttm
from streamer.speakers.events import Correction, Renamed, Speaker, TurnEnd, Unknown

KNOWN = {"ada", "bob"}


def turn(start_s, end_s, who):
    return (round(start_s * S), round(end_s * S), who)


def test_each_kind_of_mistake_is_counted_by_its_time():
    reference = [turn(0, 4, "ada"), turn(4, 6, "stranger"), turn(7, 9, "bob")]
    hypothesis = [turn(0, 2, "ada"), turn(2, 3, "bob"), turn(4, 5, "ada"), turn(5, 7, "guest-1"), turn(7, 8, "guest-2")]
    found = identify(reference, hypothesis, KNOWN)
    assert found.speech_s == 8.0
    assert found.right == pytest.approx(3 / 8)  # ada 2 s, the stranger 1 s
    assert found.wrong == pytest.approx(1 / 8)
    assert found.missed == pytest.approx(3 / 8)  # ada 1 s, bob called a guest 1 s and nothing 1 s
    assert found.false_name == pytest.approx(1 / 8)
    assert found.false_alarm == pytest.approx(1 / 8)
    assert found.rejected == pytest.approx(0.5)
    assert found.error == pytest.approx(5 / 8)


def test_where_two_speak_either_name_is_right():
    reference = [turn(0, 2, "ada"), turn(1, 2, "bob"), turn(2, 3, "stranger"), turn(2, 3, "bob")]
    assert identify(reference, [turn(0, 1, "ada"), turn(1, 2, "bob"), turn(2, 3, "guest-1")], KNOWN).right == 1.0


def test_what_is_near_the_edges_can_be_left_out():
    reference, late = [turn(1, 3, "ada")], [turn(1.2, 3.2, "ada")]
    assert identify(reference, late, KNOWN).missed == pytest.approx(0.1)
    assert identify(reference, late, KNOWN, collar_s=0.25).missed == 0.0
    assert identify(reference, late, KNOWN, collar_s=0.25).false_alarm == 0.0


TURNS = st.lists(
    st.tuples(st.integers(0, 100), st.integers(1, 50), st.sampled_from(["ada", "bob", "dan", "guest-1"])).map(
        lambda t: (t[0] * 1600, (t[0] + t[1]) * 1600, t[2])
    ),
    max_size=6,
)


@given(TURNS, TURNS)
def test_the_shares_of_the_speech_sum_to_one(reference, hypothesis):
    found = identify(reference, hypothesis, KNOWN)
    total = found.right + found.wrong + found.missed + found.false_name
    assert total == pytest.approx(1.0 if found.speech_s else 0.0)


@given(TURNS)
def test_the_reference_itself_is_all_right(reference):
    found = identify(reference, reference, KNOWN)
    assert found.error == found.false_alarm == 0.0


def said(kind, sample_s, decided_s, **values):
    return kind(sample=round(sample_s * S), decided_sample=round(decided_s * S), **values)


EVENTS = [
    said(Speaker, 1.0, 2.0, turn=1, speaker="bob", confidence=0.8, score=0.5),
    said(Correction, 1.0, 3.0, turn=1, speaker="ada", confidence=0.9, score=0.6, previous="bob"),
    said(TurnEnd, 5.0, 6.0, turn=1, start_sample=S, speaker="ada", confidence=0.9),
    said(Unknown, 7.0, 8.5, turn=2, speaker="guest-1", confidence=0.9),
    said(Renamed, 0.0, 9.0, speaker="dan", previous="guest-1"),
    said(TurnEnd, 10.0, 11.0, turn=2, start_sample=7 * S, speaker="dan", confidence=0.9),
]


def test_what_was_on_display_is_what_was_decided_by_then():
    assert shown_turns(EVENTS) == [turn(2, 3, "bob"), turn(3, 6, "ada"), turn(8.5, 9, "guest-1"), turn(9, 11, "dan")]


def test_the_final_turns_carry_the_last_names():
    events = [
        *EVENTS[:4],
        said(TurnEnd, 9.0, 9.0, turn=2, start_sample=7 * S, speaker="guest-1", confidence=1.0),
        EVENTS[4],
    ]
    assert final_turns(events) == [turn(1, 5, "ada"), turn(7, 9, "dan")]


def test_the_delay_runs_to_the_first_right_name():
    reference = [turn(1, 5, "ada"), turn(7, 10, "stranger"), turn(10, 11, "bob"), turn(20, 25, "bob")]
    delays = delays_s(reference, [*shown_turns(EVENTS), turn(11.5, 12, "bob")], KNOWN)
    # Of a turn that is over, the name may still come up to a second later.
    assert delays == [2.0, 1.5, 1.5, math.inf]


def test_a_name_that_changes_while_one_person_speaks_is_a_flip():
    assert flips([turn(1, 5, "ada")], shown_turns(EVENTS)) == 1
    assert flips([turn(2.5, 5, "ada")], shown_turns(EVENTS)) == 0


def test_an_rttm_reference_is_read_by_recording(tmp_path):
    path = tmp_path / "reference.rttm"
    lines = ["b 1 2.000 1.500 <NA> <NA> bob <NA> <NA>", "a 1 0.5 0.25 <NA> <NA> ada <NA> <NA>"]
    path.write_text("".join(f"SPEAKER {line}\n" for line in lines) + ";; a comment\n\n")
    assert read_rttm(path, "b") == [turn(2, 3.5, "bob")]
    assert read_rttm(path) == [turn(0.5, 0.75, "ada"), turn(2, 3.5, "bob")]
    path.write_text("SPEAKER a 1\n")
    with pytest.raises(ValueError, match="line 1 of"):
        read_rttm(path)

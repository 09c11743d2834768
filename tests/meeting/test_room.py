"""One voice is one speaker, however many microphones hear it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamer.audio.chunks import SAMPLE_RATE as S
from streamer.audio.chunks import Gap
from streamer.errors import ConfigurationError
from streamer.meeting.aligner import Aligner
from streamer.meeting.crosstalk import CrossTalkSettings
from streamer.meeting.room import RoomTracker
from streamer.meeting.turns import RoomTurns
from streamer.speakers.events import Correction, Speaker, TurnEnd
from streamer.speakers.timeline import Timeline


def told(room, steps, order=None):
    """All events, with the channels fed in `order` (default: in turn)."""
    order = order or [channel for number in range(max(map(len, steps))) for channel in range(len(steps))]
    waiting, events = [list(own) for own in steps], []
    for channel in order:
        if waiting[channel]:
            events += room.hear(channel, waiting[channel].pop(0))
    return events + room.finish()


def turns(events):
    return [(event.speaker, event.channel) for event in events if event.type == "turn_end"]


TALK = [
    [("ada", 4.0), (None, 12.0)],
    [(None, 5.0), ("bob", 4.0), (None, 7.0)],
    [(None, 10.0), ("cem", 4.0), (None, 2.0)],
]


@pytest.mark.parametrize("leak_db", [None, 3.0, 6.0, 12.0, 30.0], ids=str)
def test_each_turn_is_said_once_and_belongs_to_its_seat(seats, leak_db):
    events = told(seats.room(3, "ada", "bob", "cem"), seats.steps(TALK, leak_db))
    assert turns(events) == [("ada", 0), ("bob", 1), ("cem", 2)]


def test_cross_talk_makes_no_guests(seats):
    events = told(seats.room(3), seats.steps(TALK))
    assert turns(events) == [("guest-1", 0), ("guest-2", 1), ("guest-3", 2)]


def test_two_who_speak_at_once_at_their_microphones_are_both_heard(seats):
    both = [[("ada", 6.0), (None, 2.0)], [(None, 2.0), ("bob", 6.0)]]
    events = told(seats.room(2, "ada", "bob"), seats.steps(both))
    assert sorted(turns(events)) == [("ada", 0), ("bob", 1)]
    timeline = Timeline()
    for event in events:
        timeline.hear(event)
    assert timeline.talk_time() == pytest.approx({"ada": 6.0, "bob": 6.0}, abs=0.6)


def test_a_voice_between_two_microphones_stays_with_the_first(seats):
    events = told(seats.room(2, "ada"), seats.steps([[("ada", 8.0)], [(None, 8.0)]], leak_db=0.0))
    assert turns(events) == [("ada", 0)]


def test_who_walks_to_another_microphone_is_not_cut_in_two(seats):
    walk = [[("ada", 5.0), (None, 4.0)], [(None, 5.0), ("ada", 4.0)]]
    events = told(seats.room(2, "ada", "bob"), seats.steps(walk))
    ends = [event for event in events if event.type == "turn_end"]
    assert turns(events) == [("ada", 0)]
    assert (ends[0].sample - ends[0].start_sample) / S == pytest.approx(9.0, abs=0.6)


@pytest.mark.parametrize("other", ["bob", "guest-1"])
def test_who_was_taken_for_the_one_before_at_another_microphone_gets_a_turn(other):
    first = {"sample": 0, "decided_sample": S, "turn": 1, "confidence": 0.9}
    later = first | {"sample": 6 * S, "decided_sample": 7 * S}
    room = RoomTurns(2)

    events = [
        *room.hear(0, Speaker(**first, speaker="ada", score=0.7)),
        *room.hear(0, TurnEnd(**first | {"sample": 6 * S - 1}, start_sample=0, speaker="ada")),
        *room.hear(1, Speaker(**later, speaker="ada", score=0.4)),
        *room.hear(1, Correction(**later, speaker=other, score=0.8, previous="ada")),
        *room.hear(1, TurnEnd(**later | {"sample": 9 * S}, start_sample=6 * S, speaker=other)),
        *room.close(12 * S),
    ]

    assert [(event.type, event.speaker, event.turn, event.channel) for event in events] == [
        ("speaker", "ada", 1, 0),
        ("speaker" if other == "bob" else "unknown", other, 2, 1),
        ("turn_end", "ada", 1, 0),
        ("turn_end", other, 2, 1),
    ]
    assert [(event.start_sample, event.sample) for event in events[2:]] == [(0, 6 * S - 1), (6 * S, 9 * S)]


def test_a_guest_keeps_the_name_at_another_microphone(seats):
    walk = [[("eve", 5.0), (None, 7.0)], [(None, 7.0), ("eve", 5.0)]]
    assert turns(told(seats.room(2, "ada"), seats.steps(walk))) == [("guest-1", 0), ("guest-1", 1)]


def test_a_guest_who_is_enrolled_has_the_name_on_all_microphones(seats):
    walk = [[("eve", 5.0), (None, 7.0)], [(None, 7.0), ("eve", 5.0)]]
    room, (first, second) = seats.room(2, "ada"), seats.steps(walk)
    events = [
        event
        for pair in zip(first[:12], second[:12], strict=True)
        for n, step in enumerate(pair)
        for event in room.hear(n, step)
    ]
    renamed = room.set_roster(seats.stage.roster("ada", "eve"))
    assert [(event.previous, event.speaker) for event in renamed if event.type == "renamed"] == [("guest-1", "eve")]
    for pair in zip(first[12:], second[12:], strict=True):
        for number, step in enumerate(pair):
            events += room.hear(number, step)
    assert turns(events + room.finish())[-1] == ("eve", 1)


def test_a_room_of_one_microphone_is_a_tracker(seats):
    script = [("ada", 4.0), (None, 1.0), ("eve", 3.0), ("ada", 3.0), (None, 2.0), ("bob", 0.5), (None, 1.0)]
    (steps,) = seats.steps([script])
    tracker = seats.stage.tracker("ada", "bob")
    alone = [event for step in steps for event in tracker.update(step)] + tracker.finish()
    events = told(seats.room(1, "ada", "bob"), [steps])
    assert [replace(event, channel=None, reason="") for event in events] == [
        replace(event, reason="") for event in _as_numbered(alone)
    ]


def _as_numbered(events):
    """Turns without a name have no number in a room."""
    numbers = {}
    for event in events:
        if hasattr(event, "turn"):
            event = replace(event, turn=numbers.setdefault(event.turn, len(numbers) + 1))
        yield event


@settings(max_examples=20)
@given(st.data())
def test_the_order_of_arrival_never_matters(new_seats, data):
    seats = new_seats(1)
    steps = seats.steps([script[:2] for script in TALK[:2]] + [[(None, 9.0)]])
    expected = told(seats.room(3, "ada", "bob"), steps)
    order = data.draw(st.permutations([channel for channel, own in enumerate(steps) for _ in own]))
    assert told(seats.room(3, "ada", "bob"), steps, order) == expected


@settings(max_examples=30)
@given(st.integers(0, 1000), st.floats(6, 40), st.lists(st.integers(0, 2), min_size=2, max_size=6))
@example(532, 6.0, [0, 0])  # voices in which the filter was quick to hear another
@example(845, 6.0, [0, 1, 2])
def test_whoever_speaks_when_nobody_is_heard_twice(new_seats, seed, leak_db, order):
    seats = new_seats(seed)
    scripts = [[], [], []]
    for seat in order:
        for number, script in enumerate(scripts):
            script += [(("ada", "bob", "cem")[number] if number == seat else None, 3.0), (None, 1.0)]
    ends = [
        event
        for event in told(seats.room(3, "ada", "bob", "cem"), seats.steps(scripts, leak_db))
        if event.type == "turn_end"
    ]
    assert {end.speaker for end in ends} <= {("ada", "bob", "cem")[seat] for seat in order}
    for one, other in pairwise(sorted(ends, key=lambda end: end.start_sample)):
        assert one.sample <= other.start_sample, "nobody spoke at once, so no turns overlap"


def test_a_microphone_that_is_behind_holds_the_others_up_for_so_long_and_no_longer(seats):
    first, second = seats.steps([[("ada", 10.0)], [(None, 10.0)]])
    room = seats.room(2, "ada", hold_s=3.0)
    for step in first[:6]:
        assert room.hear(0, step) == []
    said = [event for step in first[6:] for event in room.hear(0, step)]
    assert "speaker" in {event.type for event in said}
    late = [event for step in second for event in room.hear(1, step)] + room.finish()
    assert turns(said + late) == [("ada", 0)]


def test_a_gap_on_one_microphone_is_told_and_stops_nobody(seats):
    first, second = seats.steps([[("ada", 8.0)], [(None, 8.0)]])
    room = seats.room(2, "ada")
    events = []
    for number, step in enumerate(first):
        events += room.hear(0, step)
        if not 4 <= number < 8:
            events += room.hear(1, second[number])
        elif number == 7:
            events += room.hear(1, Gap(second[4].start_sample, step.end_sample, "reconnect"))
    events += room.finish()
    gaps = [event for event in events if event.type == "gap"]
    assert [(gap.channel, gap.sample, gap.end_sample, gap.reason) for gap in gaps] == [(1, 2 * S, 4 * S, "reconnect")]
    assert turns(events) == [("ada", 0)]


def test_louder_microphones_are_brought_into_line_by_their_gains(seats):
    first, second = seats.steps([[("ada", 6.0)], [(None, 6.0)]])
    loud = [replace(step, level_db=step.level_db + 30) for step in second]
    assert turns(told(seats.room(2, "ada"), [first, loud])) == [("ada", 1)]
    assert turns(told(seats.room(2, "ada", gains_db=[0.0, -30.0]), [first, loud])) == [("ada", 0)]


def test_speech_lasts_from_the_first_microphone_to_the_last(seats):
    both = [[("ada", 4.0), (None, 4.0)], [(None, 3.0), ("bob", 3.0), (None, 2.0)]]
    events = told(seats.room(2, "ada", "bob"), seats.steps(both))
    assert [event.type for event in events if event.type.startswith("speech")] == ["speech_start", "speech_end"]


@given(st.floats(-60, 60), st.floats(0, 10))
def test_the_louder_the_other_the_likelier_a_leak(louder_db, more):
    evidence = CrossTalkSettings().level_evidence
    assert evidence(max(0, louder_db) + more) >= evidence(max(0, louder_db))
    assert evidence(0) < 0 < evidence(12)


@given(st.lists(st.integers(0, 2), max_size=40))
def test_what_waits_for_a_silent_microphone_is_bounded_by_the_hold(order):
    aligner = Aligner(3, 10, hold_samples=30)
    ends = [0, 0, 0]
    given_, taken = 0, 0
    for channel in order:
        aligner.put(channel, Gap(ends[channel], ends[channel] + 10, "x"))
        ends[channel] += 10
        given_ += 1
        taken += sum(len(own) for slot in aligner.ready() for own in slot.values())
        assert given_ - taken <= 3 * 3
    for channel in range(3):
        aligner.end(channel)
    taken += sum(len(own) for slot in aligner.ready() for own in slot.values())
    assert taken == given_


def test_a_room_without_microphones_is_an_error():
    with pytest.raises(ConfigurationError, match="at least one"):
        RoomTracker([], 8_000, None)
    with pytest.raises(ConfigurationError, match="more than 0 dB"):
        CrossTalkSettings(own_db=0)

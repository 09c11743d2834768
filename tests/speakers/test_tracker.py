from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.audio.chunks import Gap
from streamer.errors import ConfigurationError, StateMismatch
from streamer.snapshot import pack, unpack
from streamer.speakers.asking import answered
from streamer.speakers.settings import TrackerSettings


def run(tracker, steps):
    return [event for step in steps for event in tracker.update(step)] + tracker.finish()


def of_type(events, *types):
    return [event for event in events if event.type in types]


def turns(events):
    """What the stream comes to: (speaker, start s, end s) of each turn, under the names given last."""
    names = {event.previous: event.speaker for event in of_type(events, "renamed")}
    return [
        (names.get(event.speaker, event.speaker), event.start_sample / 16_000, event.sample / 16_000)
        for event in of_type(events, "turn_end")
    ]


def assert_turns(events, expected, tolerance_s=0.05):
    found = turns(events)
    assert [who for who, _, _ in found] == [who for who, _, _ in expected]
    assert np.array([times for _, *times in found]) == pytest.approx(
        np.array([times for _, *times in expected]), abs=tolerance_s
    )


CONVERSATION = [
    (None, 1.0),
    ("ada", 5.0),
    (None, 1.0),
    ("bob", 4.0),
    (None, 1.0),
    ("dan", 5.0),
    (None, 1.0),
    ("ada", 3.0),
]


def test_enrolled_speakers_are_named_and_a_stranger_becomes_a_guest(stage, blocks):
    steps = stage.steps([*CONVERSATION, (None, 1.0), ("dan", 3.0), (None, 1.0)], blocks=blocks)
    events = run(stage.tracker("ada", "bob", "cy"), steps)
    expected = [("ada", 1, 6), ("bob", 7, 11), ("guest-1", 12, 17), ("ada", 18, 21), ("guest-1", 22, 25)]
    assert_turns(events, expected)
    assert not of_type(events, "correction", "ambiguous")


def test_a_speaker_is_named_within_a_second_and_a_half_of_starting(stage):
    events = run(stage.tracker("ada", "bob"), stage.steps(CONVERSATION))
    first = {event.turn: event for event in reversed(of_type(events, "speaker"))}
    assert first
    assert all(event.decided_sample - event.sample <= 24_000 for event in first.values())


def test_a_change_without_a_pause_is_placed_where_it_was(stage):
    events = run(stage.tracker("ada", "bob"), stage.steps([("ada", 5.0), ("bob", 5.0), (None, 1.0)]))
    assert_turns(events, [("ada", 0.15, 5), ("bob", 5, 10)], tolerance_s=0.3)


def test_a_name_settles_and_is_corrected_no_more(stage):
    events = run(stage.tracker("ada", "bob"), stage.steps([("ada", 8.0), (None, 1.0)]))
    named = of_type(events, "speaker", "correction")
    assert [event.final for event in named] == [False, True]
    assert named[1].decided_sample - named[1].sample >= 48_000


def test_a_name_given_too_early_is_corrected(stage):
    # Half a second of one voice, and then another: the first name was premature.
    script = [("bob", 0.8), ("ada", 5.0), (None, 1.0)]
    events = run(stage.tracker("ada", "bob", commit=0.6), stage.steps(script))
    corrections = of_type(events, "correction")
    assert [(event.previous, event.speaker) for event in corrections] == [("bob", "ada")]
    assert turns(events)[-1][0] == "ada"
    assert len({event.turn for event in of_type(events, "speaker", "correction")}) == 1


def test_a_voice_between_two_enrolled_ones_is_ambiguous(stage):
    stage.voices["twin"] = stage.voice("ada") + 0.02 * stage.voice("other")
    events = run(stage.tracker("ada", "twin", commit=0.9), stage.steps([("ada", 4.0), (None, 1.0)]))
    ambiguous = of_type(events, "ambiguous")
    assert len(ambiguous) == 1
    assert set(ambiguous[0].candidates[:2]) == {"ada", "twin"}


def test_a_voice_between_very_many_enrolled_ones_is_ambiguous_too(stage):
    alike = [f"like ada {number}" for number in range(60)]
    for name in alike:
        stage.voices[name] = stage.voice("ada") + 0.02 * stage.voice(f"other {name}")
    [ambiguous] = of_type(run(stage.tracker(*alike), stage.steps([("ada", 4.0), (None, 1.0)])), "ambiguous")
    assert ambiguous.confidence < 0.05, "no one of them is likely by itself"
    assert set(ambiguous.candidates) < set(alike)


def test_nobody_enrolled_makes_everybody_a_guest(stage, blocks):
    steps = stage.steps(
        [("ada", 4.0), (None, 1.0), ("bob", 4.0), (None, 1.0), ("ada", 4.0), (None, 1.0)], blocks=blocks
    )
    events = run(stage.tracker(), steps)
    assert [who for who, _, _ in turns(events)] == ["guest-1", "guest-2", "guest-1"]
    assert not of_type(events, "speaker")


def test_those_not_invited_are_guests(stage):
    tracker = stage.tracker("ada", "bob", "cy")
    tracker.set_roster(tracker.roster.restricted(["ada"]))
    assert [who for who, _, _ in turns(run(tracker, stage.steps(CONVERSATION)))][:3] == ["ada", "guest-1", "guest-2"]


def test_a_guest_who_is_enrolled_meanwhile_takes_the_name_at_once(stage):
    tracker = stage.tracker("ada")
    steps = stage.steps([("dan", 4.0), (None, 1.0), ("dan", 4.0), (None, 1.0)])
    before = [event for step in steps[:7] for event in tracker.update(step)]
    renamed = tracker.set_roster(stage.roster("ada", "dan"))
    after = run(tracker, steps[7:])
    assert of_type(before, "unknown")[-1].speaker == "guest-1"
    assert [(event.previous, event.speaker) for event in renamed] == [("guest-1", "dan")]
    assert [who for who, _, _ in turns(after)] == ["dan", "dan"]


def test_a_speaker_who_is_removed_is_named_no_more(stage):
    tracker = stage.tracker("ada", "bob")
    steps = stage.steps([("ada", 4.0), (None, 1.0), ("ada", 4.0), (None, 1.0)])
    for step in steps[:10]:
        tracker.update(step)
    tracker.set_roster(stage.roster("bob"))
    assert [who for who, _, _ in turns(run(tracker, steps[10:]))] == ["guest-1"]


def test_guests_are_bounded_and_numbers_are_never_given_twice(stage):
    script = [part for name in ("a", "b", "c", "d", "a") for part in ((name, 3.0), (None, 1.0))]
    tracker = stage.tracker(max_guests=2)
    assert [who for who, _, _ in turns(run(tracker, stage.steps(script)))] == [f"guest-{i}" for i in range(1, 6)]
    assert sum(name is not None for name in tracker.guests.names) == 2


def test_a_guest_is_forgotten_after_a_time(stage):
    script = [("a", 3.0), (None, 1.0), ("b", 3.0), (None, 12.0), ("b", 3.0), (None, 1.0)]
    tracker = stage.tracker(guest_forget_s=10.0)
    assert [who for who, _, _ in turns(run(tracker, stage.steps(script)))] == ["guest-1", "guest-2", "guest-3"]


def test_two_guests_that_turn_out_the_same_become_the_earlier_one(stage):
    tracker = stage.tracker()
    run(tracker, stage.steps([("a", 3.0), (None, 1.0), ("b", 3.0), (None, 1.0)]))
    tracker.guests.hear(1, tracker.guests.centroids[0], 30.0, tracker.heard_sample)
    tracker.guests.settle(1)
    events = tracker.set_roster(stage.roster("ada"))
    assert [(event.previous, event.speaker) for event in events] == [("guest-2", "guest-1")]
    assert tracker.guests.names[:2] == ["guest-1", None]


def test_guests_are_made_one_on_proof_only(stage):
    tracker = stage.tracker()
    run(tracker, stage.steps([("a", 4.0), (None, 1.0), ("b", 4.0), (None, 1.0)]))
    guests, candidates = tracker.guests, tracker.candidates
    guests.hear(1, guests.centroids[0], 20.0, tracker.heard_sample)

    def same(at_least, guest_s):
        return answered(candidates.same_as_guest(1, at_least, guest_s))

    worth = candidates.evidence(guests.centroids[1][None], guests.speech_s[1][None])[1][0, 0]
    assert same(float(worth) - 0.01, 2.5) == "guest-1"
    assert same(float(worth) + 0.01, 2.5) is None
    # A guest who has said too little is nobody's proof.
    assert same(0.0, float(guests.speech_s[0]) + 0.1) is None


def test_a_long_gap_ends_the_turn_and_a_short_one_does_not(stage):
    steps = stage.steps([("ada", 8.0), (None, 1.0)])
    tracker = stage.tracker("ada", "bob")
    events = [event for step in steps[:6] for event in tracker.update(step)]
    assert [event.type for event in tracker.gap(Gap(48_000, 48_320, "packet loss"))] == ["gap"]
    late = tracker.gap(Gap(48_320, 80_000, "device lost"))
    assert [event.type for event in late][-3:] == ["turn_end", "speech_end", "gap"]
    assert late[-2].sample == late[-3].sample == 48_320
    assert tracker.finish() == []
    assert of_type(events, "speaker")


def test_steps_that_were_left_out_are_reported(stage):
    steps = stage.steps([("ada", 3.0)])
    event = stage.tracker("ada").update(replace(steps[4], skipped=3))[0]
    assert (event.type, event.skipped, event.sample) == ("overload", 3, steps[4].start_sample)


def test_without_a_speech_detector_the_level_tells_speech_from_silence(stage):
    steps = stage.steps([(None, 1.0), ("ada", 4.0), (None, 2.0)], speech=False)
    assert_turns(run(stage.tracker("ada", "bob"), steps), [("ada", 1, 5)], tolerance_s=0.5)


def test_silence_says_nothing(stage):
    assert run(stage.tracker("ada"), stage.steps([(None, 10.0)])) == []


def test_a_word_too_short_to_judge_starts_and_ends_without_a_name(stage):
    events = run(stage.tracker("ada"), stage.steps([(None, 1.0), ("ada", 0.3), (None, 2.0)]))
    assert {event.type for event in events} <= {"speech_start", "speech_end", "speaker", "turn_end"}
    assert of_type(events, "speech_start", "speech_end")


VOICES = st.sampled_from([None, "ada", "bob", "dan", "eve"])
SCRIPTS = st.lists(st.tuples(VOICES, st.sampled_from([0.3, 0.9, 2.0, 4.0])), min_size=1, max_size=8)


@settings(max_examples=25, deadline=None)
@given(SCRIPTS, st.booleans(), st.data())
def test_a_tracker_restored_anywhere_goes_on_as_if_nothing_had_happened(new_stage, script, blocks, data):
    stage = new_stage()
    steps = stage.steps(script, blocks=blocks)
    whole = run(stage.tracker("ada", "bob"), steps)
    place = data.draw(st.integers(0, len(steps)))
    first = stage.tracker("ada", "bob")
    events = [event for step in steps[:place] for event in first.update(step)]
    second = stage.tracker("ada", "bob")
    second.restore(first.snapshot())
    assert events + run(second, steps[place:]) == whole


@settings(max_examples=40, deadline=None)
@given(SCRIPTS, st.sampled_from([0.25, 0.5, 1.0]))
def test_whatever_is_said_the_events_make_sense(new_stage, script, step_s):
    stage = new_stage()
    steps = stage.steps(script, step_s=step_s)
    events = run(stage.tracker("ada", "bob"), steps)
    end = steps[-1].end_sample if steps else 0
    decided = [event.decided_sample for event in events]
    assert decided == sorted(decided)
    assert all(0 <= event.sample <= event.decided_sample <= end for event in events)
    # Speech starts and ends in turn, and ends in the end.
    assert [event.type for event in of_type(events, "speech_start", "speech_end")] == (
        ["speech_start", "speech_end"] * (len(of_type(events, "speech_start", "speech_end")) // 2)
    )
    # Turns follow one another, each named before it ends, by its last name, and never renamed once final.
    spans = [(event.start_sample, event.sample) for event in of_type(events, "turn_end")]
    assert all(start <= end for start, end in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    for ended in of_type(events, "turn_end"):
        named = [event for event in of_type(events, "speaker", "unknown", "correction") if event.turn == ended.turn]
        assert named
        assert not any(event.final for event in named[:-1])
        renamed = {event.previous: event.speaker for event in of_type(events, "renamed")}
        assert renamed.get(named[-1].speaker, named[-1].speaker) == renamed.get(ended.speaker, ended.speaker)
    for corrected in of_type(events, "correction"):
        assert corrected.previous != corrected.speaker


def test_a_snapshot_of_other_settings_or_another_model_is_refused(stage):
    data = stage.tracker("ada").snapshot()
    with pytest.raises(StateMismatch, match="other settings: commit"):
        stage.tracker("ada", commit=0.9).restore(data)
    with pytest.raises(StateMismatch, match="not a snapshot"):
        stage.tracker("ada").restore(data[:-30])


@pytest.mark.parametrize("place", [3, 7, 13], ids=["speech begins", "a turn lasts", "silence"])
def test_a_snapshot_of_the_version_before_is_restored(stage, place):
    steps = stage.steps([(None, 1.0), ("ada", 5.0), (None, 1.0), ("dan", 5.0), (None, 1.0)])
    first = stage.tracker("ada", "bob")
    events = [event for step in steps[:place] for event in first.update(step)]

    snapshot = unpack(first.snapshot())
    snapshot["version"] = 4
    snapshot["settings"]["kept_pieces"] = snapshot["settings"].pop("kept_steps")
    if snapshot["turn"] is not None:
        snapshot["turn"]["pieces"] = snapshot["turn"].pop("steps")
    second = stage.tracker("ada", "bob")
    second.restore(pack(snapshot))

    assert events + run(second, steps[place:]) == run(stage.tracker("ada", "bob"), steps)


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 3},
        {"version": 6},
        {"turn": {"number": 1}},
        {"belief": {}},
        {"guests": None},
        {"recent": [{"start_sample": 0}]},
        {"settings": "usual"},
    ],
    ids=str,
)
def test_a_snapshot_of_an_unknown_shape_is_refused(stage, wrong):
    with pytest.raises(StateMismatch):
        stage.tracker("ada").restore(pack({**unpack(stage.tracker("ada").snapshot()), **wrong}))
    with pytest.raises(StateMismatch):
        stage.tracker("ada").restore(pack([1, 2]))


def test_a_snapshot_is_restored_into_a_roster_that_changed(stage):
    steps = stage.steps([("ada", 6.0), (None, 1.0)])
    first = stage.tracker("ada", "bob")
    for step in steps[:6]:
        first.update(step)
    second = stage.tracker("aaron", "ada", "zoe")
    second.restore(first.snapshot())
    assert [who for who, _, _ in turns(run(second, steps[6:]))] == ["ada"]


@pytest.mark.parametrize(
    "wrong",
    [{"commit": 1.5}, {"speech_offset": 0.9}, {"max_guests": 0}, {"stay_s": -1.0}, {"evidence_s": float("nan")}],
    ids=str,
)
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(ConfigurationError):
        TrackerSettings(**wrong)


def test_among_ten_thousand_the_right_one_is_found(stage):
    rng = np.random.default_rng(8)
    crowd = [f"person {i:05d}" for i in range(10_000)]
    for name, voice in zip(crowd, rng.standard_normal((10_000, 64)).astype(np.float32), strict=True):
        stage.voices[name] = voice / np.linalg.norm(voice)
    tracker = stage.tracker(*crowd, "ada")
    steps = stage.steps([("ada", 4.0), (None, 1.0), ("person 04711", 4.0), (None, 1.0)])
    assert [who for who, _, _ in turns(run(tracker, steps))] == ["ada", "person 04711"]


@pytest.mark.parametrize("seed", range(6))
def test_a_stranger_who_speaks_on_is_one_guest(new_stage, seed):
    stage = new_stage(seed)
    events = run(stage.tracker("ada", "bob"), stage.steps([(None, 1.0), ("dan", 12.0), (None, 1.0)]))
    assert_turns(events, [("guest-1", 1, 13)])

"""Two at once: stretches from probabilities, and who the two are."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from streamer.audio.chunks import SAMPLE_RATE as RATE
from streamer.audio.chunks import Gap
from streamer.engine.window import Step
from streamer.speakers.events import Event, Overlap, TurnEnd


def mixed(steps: Sequence[Step], *stretches: tuple[float, float], probability: float = 0.9) -> list[Step]:
    """Steps whose frames say that more than one speaks between these seconds."""
    found = []
    for step in steps:
        centres = step.grid.centres(step.first_frame, step.first_frame + step.num_frames) / RATE
        overlap = np.zeros(len(centres), np.float32)
        for start, end in stretches:
            overlap[(centres >= start) & (centres < end)] = probability
        found.append(replace(step, overlap=overlap))
    return found


def run(tracker, steps) -> list[Event]:
    return [event for step in steps for event in tracker.update(step)] + tracker.finish()


def finals(events: Sequence[Event]) -> list[Overlap]:
    return [event for event in events if isinstance(event, Overlap) and event.final]


def seconds(event: Overlap) -> tuple[float, float]:
    assert event.end_sample is not None
    return event.sample / RATE, event.end_sample / RATE


CHANGE = [(None, 1.0), ("ada", 6.0), ("bob", 6.0), (None, 2.0)]


def test_who_went_on_and_who_came_in_are_the_two(stage):
    events = run(stage.tracker("ada", "bob", "cy"), mixed(stage.steps(CHANGE), (6.5, 7.6)))

    (overlap,) = finals(events)
    assert {overlap.speaker, overlap.other} == {"ada", "bob"}
    assert seconds(overlap) == pytest.approx((6.5, 7.6), abs=0.15)
    assert overlap.confidence > 0.8


def test_each_of_the_two_has_a_turn_over_all_of_it(stage):
    events = run(stage.tracker("ada", "bob"), mixed(stage.steps(CHANGE), (6.2, 8.0)))

    spoken = {"ada": np.zeros(1500, bool), "bob": np.zeros(1500, bool)}
    for event in events:
        if isinstance(event, TurnEnd):
            spoken[event.speaker][event.start_sample // 160 : event.sample // 160] = True
    both = spoken["ada"] & spoken["bob"]
    assert both[630:790].all()
    assert not both[:610].any()
    assert not both[810:].any()


def test_a_word_beside_a_long_turn_is_whose_voice_was_heard_last(stage):
    script = [(None, 0.5), ("cy", 3.0), (None, 1.0), ("bob", 3.0), (None, 1.0), ("ada", 8.0), (None, 3.0)]
    events = run(stage.tracker("ada", "bob", "cy"), mixed(stage.steps(script), (12.0, 12.6)))

    (overlap,) = finals(events)
    assert (overlap.speaker, overlap.other) == ("ada", "bob")
    assert [e.speaker for e in events if isinstance(e, TurnEnd) and e.reason == "beside ada"] == ["bob"]


def test_where_nobody_else_was_heard_it_is_somebody_else_and_nobody_is_guessed(stage):
    events = run(stage.tracker("ada", "bob"), mixed(stage.steps([("ada", 8.0), (None, 3.0)]), (3.0, 4.0)))

    (overlap,) = finals(events)
    assert (overlap.speaker, overlap.other) == ("ada", None)
    (beside, ada) = (event for event in events if isinstance(event, TurnEnd))
    assert (beside.speaker, beside.reason, ada.speaker) == ("unknown", "beside ada", "ada")
    assert (beside.start_sample, beside.sample) == (overlap.sample, overlap.end_sample)


def test_somebody_else_who_may_be_nobody_has_no_turn(stage):
    steps = mixed(stage.steps([("ada", 8.0), (None, 3.0)]), (3.0, 4.0), probability=0.7)
    events = run(stage.tracker("ada", "bob"), steps)

    assert [overlap.other for overlap in finals(events)] == [None]
    assert [event.speaker for event in events if isinstance(event, TurnEnd)] == ["ada"]


@pytest.mark.parametrize(("probability", "other"), [(0.7, None), (0.9, "bob")])
def test_a_word_that_may_be_none_is_nobodys(stage, probability, other):
    steps = stage.steps([("bob", 3.0), (None, 1.0), ("ada", 8.0), (None, 3.0)])
    events = run(stage.tracker("ada", "bob"), mixed(steps, (8.0, 9.0), probability=probability))

    (overlap,) = finals(events)
    assert (overlap.speaker, overlap.other) == ("ada", other)
    assert [e.speaker for e in events if isinstance(e, TurnEnd) and e.reason == "beside ada"] == [other] * bool(other)


def test_who_came_in_is_named_however_unsure_the_frames_are(stage):
    events = run(stage.tracker("ada", "bob"), mixed(stage.steps(CHANGE), (6.5, 7.6), probability=0.5))

    (overlap,) = finals(events)
    assert {overlap.speaker, overlap.other} == {"ada", "bob"}


def test_who_was_heard_long_ago_is_not_guessed(stage):
    script = [("bob", 3.0), (None, 20.0), ("ada", 6.0), (None, 3.0)]
    events = run(stage.tracker("ada", "bob"), mixed(stage.steps(script), (26.0, 27.0)))

    assert finals(events)[0].other is None


def test_it_is_said_while_it_lasts(stage):
    steps = mixed(stage.steps([(None, 1.0), ("ada", 8.0), (None, 3.0)], step_s=0.25), (5.0, 7.0))
    events = run(stage.tracker("ada"), steps)

    first = next(event for event in events if isinstance(event, Overlap))
    assert not first.final
    assert first.end_sample is None
    assert first.decided_sample - first.sample <= 0.6 * RATE


@pytest.mark.parametrize("step_s", [0.25, 4.0])
def test_it_is_as_sure_of_a_stretch_within_one_step_as_of_one_over_many(stage, step_s):
    steps = mixed(stage.steps([("ada", 12.0)], step_s=step_s), (5.0, 6.5))
    (overlap,) = finals(run(stage.tracker("ada"), steps))

    assert overlap.confidence == pytest.approx(0.9, abs=0.01)


def test_a_dip_of_a_moment_is_no_end_and_a_peak_no_beginning(stage):
    steps = mixed(stage.steps([("ada", 12.0)]), (3.0, 3.9), (3.95, 5.0), (8.0, 8.06))
    events = run(stage.tracker("ada"), steps)

    assert [seconds(event) for event in finals(events)] == [pytest.approx((3.0, 5.0), abs=0.15)]


def test_a_stretch_ends_with_the_stream_and_at_a_gap(stage):
    steps = mixed(stage.steps([("ada", 8.0)]), (2.0, 9.0))
    tracker = stage.tracker("ada")
    events = [event for step in steps[:8] for event in tracker.update(step)]
    events += tracker.gap(Gap(steps[7].end_sample, steps[7].end_sample + 5 * RATE, "lost"))
    events += tracker.finish()

    (overlap,) = finals(events)
    assert seconds(overlap)[1] == pytest.approx(4.0, abs=0.01)


def test_what_is_told_knows_new_names(stage):
    tracker = stage.tracker()
    steps = mixed(stage.steps([("dan", 6.0), ("eve", 6.0), (None, 1.0)]), (5.6, 6.6))
    events = [event for step in steps[:16] for event in tracker.update(step)]
    events += tracker.set_roster(stage.roster("dan", "eve"))
    events += [event for step in steps[16:] for event in tracker.update(step)] + tracker.finish()

    (overlap,) = finals(events)
    assert {overlap.speaker, overlap.other} == {"dan", "eve"}


@pytest.mark.parametrize("cut", range(1, 28, 3))
def test_a_tracker_restored_in_the_middle_says_the_same(stage, cut):
    steps = mixed(stage.steps(CHANGE), (3.0, 3.5), (6.5, 7.6))
    whole = run(stage.tracker("ada", "bob"), steps)
    first, second = stage.tracker("ada", "bob"), stage.tracker("ada", "bob")

    events = [event for step in steps[:cut] for event in first.update(step)]
    second.restore(first.snapshot())
    events += run(second, steps[cut:])

    assert [event.to_dict() for event in events] == [event.to_dict() for event in whole]


def test_a_model_that_does_not_tell_says_nothing_of_it(stage):
    events = run(stage.tracker("ada", "bob"), stage.steps(CHANGE))

    assert not [event for event in events if isinstance(event, Overlap)]

from streamer.speakers.timeline import Timeline, is_stranger


def test_the_time_line_agrees_with_the_turns_of_the_stream(stage):
    script = [(None, 1.0), ("ada", 5.0), (None, 1.0), ("dan", 4.0), (None, 1.0), ("ada", 2.0), (None, 1.0)]
    tracker, timeline, ends = stage.tracker("ada", "bob"), Timeline(), []
    for step in stage.steps(script):
        for event in tracker.update(step):
            timeline.hear(event)
            ends += [event] if event.type == "turn_end" else []
        timeline.advance(step.end_sample)
        assert timeline.speaking == tracker.speaking
        assert (timeline.current.speaker if timeline.current else None) == (
            tracker.turn.label if tracker.turn else None
        )
    assert [(s.speaker, s.start_sample, s.end_sample) for s in timeline.spans] == [
        (e.speaker, e.start_sample, e.sample) for e in ends
    ]
    talk = timeline.talk_time()
    assert list(talk) == ["ada", "guest-1"]
    assert abs(talk["ada"] - 7.0) < 0.1
    assert abs(talk["guest-1"] - 4.0) < 0.1


def test_a_guest_who_gets_a_name_had_it_all_along(stage):
    tracker, timeline = stage.tracker("ada"), Timeline()
    for step in stage.steps([("dan", 4.0), (None, 1.0)]):
        for event in tracker.update(step):
            timeline.hear(event)
    for event in tracker.set_roster(stage.roster("ada", "dan")):
        timeline.hear(event)
    assert [span.speaker for span in timeline.spans] == ["dan"]


def test_old_spans_are_dropped_but_their_talk_time_is_kept(stage):
    script = [part for _ in range(10) for part in (("ada", 3.0), (None, 1.0))]
    tracker, timeline = stage.tracker("ada", "bob"), Timeline(keep_s=8.0)
    for step in stage.steps(script):
        for event in tracker.update(step):
            timeline.hear(event)
        timeline.advance(step.end_sample)
    assert len(timeline.spans) <= 3
    assert abs(timeline.talk_time()["ada"] - 30.0) < 1.0


def test_strangers_are_told_from_people_by_their_names():
    assert is_stranger("guest-12")
    assert is_stranger("unknown")
    assert not is_stranger("guest-house")
    assert not is_stranger("Ada")

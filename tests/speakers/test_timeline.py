from streamer.speakers.events import Speaker, TurnEnd
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


def heard():
    """Ada from 1 to 3 s; Bob, whose name would be markup, since 4 s; heard up to 6 s."""
    timeline = Timeline()
    for event in (
        Speaker(sample=16_000, decided_sample=20_000, turn=1, speaker="Ada", confidence=0.9, score=0.8, final=True),
        TurnEnd(
            sample=48_000, start_sample=16_000, decided_sample=50_000, turn=1, speaker="Ada", confidence=0.9, reason=""
        ),
        Speaker(sample=64_000, decided_sample=70_000, turn=2, speaker="<b>Bob", confidence=0.6, score=0.5),
    ):
        timeline.hear(event)
    timeline.advance(96_000)
    return timeline


def test_turns_are_pyannotes_too_and_one_that_lasts_ends_where_the_stream_was_heard():
    annotation = heard().to_annotation("talk")
    assert annotation.uri == "talk"
    tracks = [(segment.start, segment.end, label) for segment, _, label in annotation.itertracks(yield_label=True)]
    assert tracks == [(1.0, 3.0, "Ada"), (4.0, 6.0, "<b>Bob")]


def test_turns_are_rows_of_a_frame():
    frame = heard().to_frame()
    assert list(frame.columns) == ["start", "end", "speaker", "confidence", "final", "channel", "turn"]
    assert frame.groupby("speaker")["end"].max().to_dict() == {"Ada": 3.0, "<b>Bob": 6.0}
    assert Timeline().to_frame().empty


def test_a_notebook_shows_turns_and_no_name_as_markup():
    shown = heard()._repr_html_()
    assert "<td>Ada</td>" in shown
    assert "<td>&lt;b&gt;Bob</td>" in shown
    assert "<b>" not in shown
    assert repr(heard()) == "Timeline(2 turns of 2 speakers, 6.0 s)"

"""`streamer relabel`: a wrong name is put right in the events and in what is made of them, and learned from."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from terminal import on_a_terminal

from streamer.audio.chunks import SAMPLE_RATE as S
from streamer.cli import main
from streamer.demo import CONVERSATION
from streamer.errors import ConfigurationError, TranscriptUnreadable
from streamer.meeting.align import read_turns
from streamer.rttm import read_rttm
from streamer.sinks.lines import LOW_CONFIDENCE, how_sure
from streamer.speakers.events import (
    Ambiguous,
    Correction,
    Event,
    Renamed,
    Speaker,
    SpeechStart,
    TurnEnd,
    Unknown,
)
from streamer.speakers.relabel import REASON, position_of, read, relabelled, told
from streamer.speakers.store import SpeakerStore


def turn(number: int, start: int, end: int, who: str, confidence: float = 0.9) -> list[Event]:
    kind: Any = Unknown if who.startswith("guest") else Speaker
    begin = kind(sample=start * S, decided_sample=(start + 1) * S, turn=number, speaker=who, confidence=0.6, score=0.5)
    over = TurnEnd(
        sample=end * S, decided_sample=end * S, turn=number, start_sample=start * S, speaker=who, confidence=confidence
    )
    return [begin, over]


def written(path: Path, events: list[Event]) -> Path:
    path.write_text("".join(json.dumps(event.to_dict()) + "\n" for event in events))
    return path


@pytest.fixture
def events(tmp_path):
    """Ada, Bob (who is wrong from 40 s on, and was corrected once), a guest, Bob again."""
    first, last = turn(2, 40, 60, "Bob", 0.4)
    corrected = Correction(
        sample=40 * S, decided_sample=45 * S, turn=2, speaker="Bob", confidence=0.7, score=0.5, previous="Ada"
    )
    doubt = Ambiguous(sample=40 * S, decided_sample=43 * S, turn=2, candidates=("Ada", "Bob"), confidence=0.5)
    return written(
        tmp_path / "events.jsonl",
        [
            SpeechStart(sample=0, decided_sample=S),
            *turn(1, 0, 30, "Ada"),
            first, doubt, corrected, last,
            *turn(3, 70, 80, "guest-1"),
            *turn(4, 90, 99, "Bob"),
        ],
    )  # fmt: skip


def names(path: Path) -> list[str]:
    return [span.speaker for span in read(path).turns]


def test_the_turn_at_a_time_is_of_somebody_else_and_the_others_stay(events, capsys):
    before = [json.loads(line) for line in events.read_text().splitlines()]
    assert main(["relabel", str(events), "0:54", "Zoë"]) == 0
    assert "0:40.0  it is Zoë, not Bob" in capsys.readouterr().out
    assert names(events) == ["Ada", "Zoë", "guest-1", "Bob"]
    after = [json.loads(line) for line in events.read_text().splitlines()]
    assert [one for one in after if one.get("turn") != 2] == [one for one in before if one.get("turn") != 2]
    label, end = [one for one in after if one.get("turn") == 2]
    assert (label["type"], label["speaker"], label["final"], label["reason"]) == ("speaker", "Zoë", True, REASON)
    assert (end["type"], end["speaker"], end["confidence"]) == ("turn_end", "Zoë", 1.0)
    # What else reads events reads these.
    assert [one.speaker for one in read_turns(events)] == ["Ada", "Zoë", "guest-1", "Bob"]


def test_all_turns_of_a_voice_are_put_right_at_once(events):
    assert main(["relabel", str(events), "54", "Zoë", "--everywhere"]) == 0
    assert names(events) == ["Ada", "Zoë", "guest-1", "Zoë"]


@pytest.mark.parametrize(
    ("time", "name", "kind"), [("75", "Carol", "speaker"), ("10", "guest-7", "unknown"), ("10", "unknown", "unknown")]
)
def test_a_stranger_becomes_a_person_and_a_person_a_stranger(events, time, name, kind):
    span = read(events).at(position_of(time))
    assert main(["relabel", str(events), time, name]) == 0
    place = read(events).turns[[one.start_sample for one in read(events).turns].index(span.start_sample)]
    assert place.speaker == name
    (label,) = [
        one
        for one in map(json.loads, events.read_text().splitlines())
        if one["type"] in ("speaker", "unknown") and one["sample"] == span.start_sample
    ]
    assert label["type"] == kind
    assert ("margin" in label) == (kind == "speaker")


def test_a_name_that_a_guest_got_later_is_the_one_that_is_put_right(tmp_path):
    later = Renamed(sample=0, decided_sample=50 * S, speaker="Carol", previous="guest-1")
    path = written(tmp_path / "a.jsonl", [*turn(1, 0, 9, "guest-1"), *turn(2, 10, 19, "guest-1"), later])
    assert names(path) == ["Carol", "Carol"]
    assert main(["relabel", str(path), "0:12", "Ada"]) == 0
    assert names(path) == ["Carol", "Ada"]


def test_turns_that_are_counted_anew_after_a_restart_are_others(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [event.to_dict() for event in turn(1, 0, 9, "Ada")]
    rows += [{"type": "restart", "sample": 10 * S}, *(event.to_dict() for event in turn(1, 10, 19, "Ada"))]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["relabel", str(path), "0:12", "Bob"]) == 0
    assert names(path) == ["Ada", "Bob"]
    assert '"restart"' in path.read_text()


def test_a_turn_that_lasted_when_the_stream_was_cut_off_is_put_right(tmp_path):
    path = written(tmp_path / "a.jsonl", [turn(1, 0, 9, "Ada")[0], SpeechStart(sample=5 * S, decided_sample=8 * S)])
    assert main(["relabel", str(path), "0:07", "Bob"]) == 0
    assert names(path) == ["Bob"]


def test_nobody_speaks_then_and_the_nearest_turns_are_named(events, capsys):
    before = events.read_bytes()
    assert main(["relabel", str(events), "1:05", "Ada"]) == 2
    said = capsys.readouterr().err
    assert "nobody speaks at 1:05.0" in said
    assert "Bob from 0:40.0 to 1:00.0; guest-1 from 1:10.0 to 1:20.0" in said
    assert events.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("54", 54), ("54.5", 54.5), ("0:54", 54), ("1:02:03.5", 3723.5), ("90s", 90), (" 1:00 ", 60), ("100:00", None)],
)
def test_times_are_read_as_a_clock_shows_them(text, seconds):
    if seconds is None:
        with pytest.raises(ConfigurationError, match="write it as 54, 0:54 or"):
            position_of(text)
    else:
        assert position_of(text) == seconds * S


@pytest.mark.parametrize("text", ["", "noon", "-1", "1:2:3:4", "0:5x", "inf"])
def test_what_is_no_time_is_refused(text, events, capsys):
    assert main(["relabel", str(events), "--", text, "Ada"]) == 2
    assert "is not a time" in capsys.readouterr().err


def test_the_files_that_are_asked_for_are_made_anew(events, tmp_path):
    outputs = {name: tmp_path / f"out.{name}" for name in ("rttm", "vtt", "srt", "audacity", "minutes")}
    options = [word for name, path in outputs.items() for word in (f"--{name}", str(path))]
    assert main(["relabel", str(events), "0:54", "Zoë", *options]) == 0
    assert [who for _, _, who in read_rttm(outputs["rttm"])] == ["Ada", "Zoë", "guest-1", "Bob"]
    for path in outputs.values():
        assert "Zoë" in path.read_text()
    assert outputs["srt"].read_text().startswith("1\n00:00:00,000 --> 00:00:30,000\nAda\n")


def test_the_events_may_go_elsewhere(events, tmp_path):
    before = events.read_bytes()
    assert main(["relabel", str(events), "0:54", "Zoë", "-o", str(tmp_path / "new.jsonl")]) == 0
    assert events.read_bytes() == before
    assert names(tmp_path / "new.jsonl")[1] == "Zoë"


def test_turns_are_listed_with_a_mark_where_a_name_is_not_sure(events, capsys):
    assert main(["relabel", str(events)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].strip() == "0:40.0 -   1:00.0  Bob (40%?)"
    assert ["?" in line for line in lines] == [False, True, False, False]
    assert main(["relabel", str(events), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[1] == {"start": 40.0, "end": 60.0, "speaker": "Bob", "confidence": 0.4}


def test_low_confidence_is_marked_and_high_is_not():
    assert how_sure(LOW_CONFIDENCE - 0.01).endswith("%?")
    assert how_sure(LOW_CONFIDENCE) == "70%"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "has no events"),
        ("Dear Ada,\n", "line 1"),
        ('{"type": "speaker", "sample": 1}\n', "speaker has no"),
        ('{"type": "turn_end", "sample": "x"}\n', "line 1"),
        ("[1]\n", "it has no type"),
        ('{"type": "session"}\n', "has no events"),
    ],
)
def test_a_file_that_is_none_of_events_is_named_with_its_line(content, words, tmp_path, capsys):
    path = tmp_path / "letter.jsonl"
    path.write_text(content)
    with pytest.raises(TranscriptUnreadable, match=words):
        read(path)
    assert main(["relabel", str(path), "1", "Ada"]) == 2
    assert "letter.jsonl" in capsys.readouterr().err
    assert path.read_text() == content


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["0:54"], "Give a NAME after it"),
        (["0:54", "\u202eadA"], "cannot be a name"),
        (["0:54", "Ada", "--learn"], "--learn needs the recording"),
        (["0:54", "Ada", "--audio", "none.wav"], "none.wav"),
        (["0:54", "guest-2", "--audio", str(CONVERSATION), "--learn"], "is what strangers are called"),
        (["1:35", "Ada", "--audio", str(CONVERSATION), "--learn"], "these events are of another recording"),
        (["--everywhere"], "a correction needs TIME and NAME"),
        (["0:54", "Ada", "--rttm", "nowhere/a.rttm"], "there is no directory"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_written(options, words, events, tmp_path, capsys):
    before = events.read_bytes()
    assert main(["relabel", str(events), *options, "--store", str(tmp_path / "people.db")]) == 2
    assert words in capsys.readouterr().err
    assert events.read_bytes() == before
    assert not (tmp_path / "people.db").exists()


def test_relabelling_twice_is_relabelling_once(events):
    transcript = read(events)
    once = relabelled(transcript, [transcript.turns[1]], "Zoë")
    again = relabelled(once, [once.turns[1]], "Zoë")
    assert again.messages == once.messages
    assert told(once.messages).turns == once.turns


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    """What a run says of the bundled conversation with nobody enrolled."""
    path = tmp_path_factory.mktemp("heard") / "events.jsonl"
    assert main(["run", str(CONVERSATION), "--jsonl", str(path), "--store", "sqlite://"]) == 0
    return path


def test_a_speaker_is_learned_from_what_was_put_right_and_known_afterwards(heard, tmp_path, capsys):
    path, store = tmp_path / "events.jsonl", str(tmp_path / "people.db")
    shutil.copy(heard, path)
    turns = read(path).turns
    longest = max(turns, key=lambda span: span.end_sample - span.start_sample)
    at = str((longest.start_sample + S // 2) / S)
    command = ["relabel", str(path), at, "Carol", "--everywhere", "--audio", str(CONVERSATION), "--store", store]
    # Nobody can be asked here, and --learn was not said.
    assert main(command) == 0
    assert "give --learn" in capsys.readouterr().err
    assert not Path(store).exists()
    assert main([*command, "--learn"]) == 0
    assert "Carol: learned from" in capsys.readouterr().out
    rttm = tmp_path / "again.rttm"
    assert main(["run", str(CONVERSATION), "--store", store, "--rttm", str(rttm)]) == 0
    mine = [(start, end) for start, end, who in read_rttm(rttm) if who == "Carol"]
    shared = sum(max(0, min(end, longest.end_sample) - max(start, longest.start_sample)) for start, end in mine)
    assert shared > 0.8 * (longest.end_sample - longest.start_sample)


@pytest.mark.skipif(os.name != "posix", reason="a terminal is a pair of files")
@pytest.mark.parametrize(("answer", "enrolled"), [("y\n", ["Carol"]), ("n\n", [])], ids=["yes", "no"])
def test_on_a_terminal_learning_is_offered(heard, tmp_path, answer, enrolled):
    path, store = tmp_path / "events.jsonl", str(tmp_path / "people.db")
    shutil.copy(heard, path)
    longest = max(read(path).turns, key=lambda span: span.end_sample - span.start_sample)
    at = str((longest.start_sample + S // 2) / S)
    command = ["relabel", str(path), at, "Carol", "--everywhere", "--audio", str(CONVERSATION), "--store", store]
    code, said = on_a_terminal(command, tmp_path, typed=answer)
    assert code == 0, said
    assert "as Carol? [y/N]" in said
    if enrolled or Path(store).exists():
        with SpeakerStore(store) as opened:
            assert opened.names() == enrolled

"""Words and speakers together."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.cli import main
from streamer.demo import CONVERSATION
from streamer.errors import TranscriptUnreadable
from streamer.meeting.align import NamedTurn, Word, assign, read_turns, read_words, write
from streamer.speakers.store import SpeakerStore

WHISPER = {
    "text": "Good morning. Hello.",
    "segments": [
        {"id": 0, "start": 0.5, "end": 2.0, "text": " Good morning.", "words": [
            {"word": " Good", "start": 0.5, "end": 1.0, "probability": 0.9},
            {"word": " morning.", "start": 1.0, "end": 2.0, "probability": 0.9},
        ]},
        {"id": 1, "start": 2.5, "end": 3.5, "text": " Hello."},
    ],
    "language": "en",
}  # fmt: skip
SRT = "1\n00:00:00,500 --> 00:00:02,000\nGood morning.\n\n2\n00:00:02,500 --> 00:00:03,500\n<i>Hello.</i>\n"
VTT = (
    "WEBVTT - talk\n\nNOTE a remark\n\nfirst\n00:00.500 --> 00:02.000 align:start\nGood\nmorning.\n\n"
    "00:00:02.500 --> 00:00:03.500\nHello.\n"
)
EVENTS = [
    {"type": "turn_end", "start_sample": 0, "sample": 32_000, "speaker": "guest-1"},
    {"type": "speech_end", "start_sample": 0, "sample": 32_000},
    {"type": "turn_end", "start_sample": 38_400, "sample": 64_000, "speaker": "Bob"},
    {"type": "renamed", "previous": "guest-1", "speaker": "Ada"},
]
WORDS = [{"word": "Good", "start": 0.5, "end": 2}, {"text": "Hello.", "start": 2.5, "end": 3.5}]
RTTM = "SPEAKER x 1 0.0 2.0 <NA> <NA> Ada <NA> <NA>\nSPEAKER x 1 2.4 1.6 <NA> <NA> Bob <NA> <NA>\n"
SPOKEN = "WEBVTT\n\n00:00:00.000 --> 00:00:02.000\n<v Ada>Ada\n\n00:00:02.400 --> 00:00:04.000\n<v Bob>Bob\n\n"


def file(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("whisper.json", WHISPER),
        ("words.json", {"words": WORDS}),
        ("list.json", WORDS),
        ("talk.srt", SRT),
        ("talk.vtt", VTT),
        ("crlf.srt", SRT.replace("\n", "\r\n")),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value and "\n" not in value else "",
)  # fmt: skip
@pytest.mark.parametrize(
    ("events", "said"),
    [("e.jsonl", "\n".join(map(json.dumps, EVENTS))), ("e.rttm", RTTM), ("e.vtt", SPOKEN)],
    ids=["json lines", "rttm", "vtt"],
)
def test_every_kind_of_transcript_meets_every_kind_of_turns(tmp_path, name, content, events, said):
    words = assign(read_words(file(tmp_path, name, content)), read_turns(file(tmp_path, events, said)))
    assert words[0].text.startswith("Good")
    assert {word.speaker for word in words[:-1]} == {"Ada"}
    assert (words[-1].text, words[-1].speaker) == ("Hello.", "Bob")


def test_a_word_goes_to_whoever_speaks_for_most_of_it():
    turns = [NamedTurn(0, 1.2, "ada"), NamedTurn(1.0, 5, "bob")]
    words = [Word(0.0, 1.0, "a"), Word(0.9, 1.5, "b"), Word(1.1, 1.2, "c"), Word(5.5, 6, "d"), Word(6.5, 7, "e")]
    assert [word.speaker for word in assign(words, turns)] == ["ada", "bob", "ada", "bob", None]


SPANS = st.tuples(st.integers(0, 100), st.integers(0, 30)).map(lambda span: (span[0] / 4, (span[0] + span[1]) / 4))


@given(st.lists(SPANS, max_size=6), st.lists(st.tuples(SPANS, st.sampled_from(["ada", "bob", "cem"])), max_size=8))
def test_the_quick_way_finds_whom_the_plain_definition_finds(spans, spoken):
    turns = sorted((NamedTurn(*span, who) for span, who in spoken), key=lambda turn: (turn.start_s, turn.end_s))
    for word in assign([Word(*span, "x") for span in spans], turns):
        shared = {
            turn.speaker: sum(
                max(0.0, min(word.end_s, other.end_s) - max(word.start_s, other.start_s))
                for other in turns
                if other.speaker == turn.speaker
            )
            for turn in turns
        }
        if any(shared.values()):
            assert shared[word.speaker] == max(shared.values())
        else:
            away = [max(turn.start_s - word.end_s, word.start_s - turn.end_s, 0.0) for turn in turns]
            nearest = {turn.speaker for turn, distance in zip(turns, away, strict=True) if distance == min(away)}
            assert word.speaker in (nearest if away and min(away) <= 1.0 else {None})


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_what_is_written_reads_back(tmp_path, kind):
    words = assign(read_words(file(tmp_path, "a.json", WHISPER)), read_turns(file(tmp_path, "e.rttm", RTTM)))
    again = read_words(file(tmp_path, f"out.{kind}", write(words, kind)))
    assert [(word.start_s, word.end_s) for word in again] == [(0.5, 2.0), (2.5, 3.5)]
    assert again[0].text == ("Ada: Good morning." if kind == "srt" else "Good morning.")
    if kind == "vtt":
        assert [turn.speaker for turn in read_turns(tmp_path / "out.vtt")] == ["Ada", "Bob"]


@pytest.mark.parametrize(
    ("content", "words"),
    [("{nonsense", "none"), ("plain text", "no words"), ("1\n0:0 --> 1\nx\n", "not a time span"), ("[]", "no words")],
    ids=["broken json", "text", "bad times", "empty"],
)  # fmt: skip
def test_a_transcript_that_is_none_says_so(tmp_path, content, words):
    with pytest.raises(TranscriptUnreadable, match=words):
        read_words(file(tmp_path, "x.txt", content))


@pytest.mark.parametrize("content", ["", "SPEAKER x 1 one two\n", '{"type": "turn_end"}\n', "{]"])
def test_turns_that_are_none_say_so(tmp_path, content):
    with pytest.raises(TranscriptUnreadable, match=r"x\.events"):
        read_turns(file(tmp_path, "x.events", content))


def test_the_command_writes_what_its_output_is_called(tmp_path, capsys):
    transcript, events = file(tmp_path, "a.json", WHISPER), file(tmp_path, "e.rttm", RTTM)
    assert main(["align", str(transcript), str(events)]) == 0
    assert capsys.readouterr().out == "Ada: Good morning.\nBob: Hello.\n"
    output = tmp_path / "out.json"
    assert main(["align", str(transcript), str(events), "-o", str(output)]) == 0
    assert [word["speaker"] for word in json.loads(output.read_text())["words"]] == ["Ada", "Ada", "Bob"]
    assert main(["align", str(transcript), str(events), "-o", "x.pdf"]) == 2
    assert "pdf" in capsys.readouterr().err


def test_words_that_lie_apart_are_lines_of_their_own(tmp_path):
    """Fifty seconds of silence within one segment, and words without segments that go on for a minute."""
    apart = {"segments": [{"start": 0, "end": 52, "text": "x", "words": [
        {"word": "Good", "start": 0.5, "end": 1.0}, {"word": "morning.", "start": 1.1, "end": 1.6},
        {"word": "Hello.", "start": 51.0, "end": 51.5}]}]}  # fmt: skip
    words = assign(read_words(file(tmp_path, "a.json", apart)), [NamedTurn(0, 60, "Ada")])
    assert write(words, "srt").count("-->") == 2
    assert "00:00:00,500 --> 00:00:01,600\nAda: Good morning.\n" in write(words, "srt")
    assert "00:00:51,000 --> 00:00:51,500\nAda: Hello.\n" in write(words, "srt")
    flat = [{"word": f"w{n}", "start": n / 2, "end": n / 2 + 0.4} for n in range(120)]
    lines = write(
        assign(read_words(file(tmp_path, "b.json", flat)), [NamedTurn(0, 20, "Ada"), NamedTurn(20, 60, "Bob")]), "vtt"
    )
    cues = read_words(file(tmp_path, "b.vtt", lines))
    assert max(cue.end_s - cue.start_s for cue in cues) <= 15
    assert 4 <= len(cues) <= 6
    assert {cue.speaker for cue in cues} == {"Ada", "Bob"}


HEAD = "Detecting language using up to the first 30 seconds.\nDetected language: English\n\n"


@pytest.mark.parametrize(
    "content",
    [json.dumps(WHISPER), json.dumps(WHISPER, indent=2), json.dumps(WORDS), SRT, VTT],
    ids=["json", "indented", "list", "srt", "vtt"],
)
@pytest.mark.parametrize("head", [HEAD, "note: loading the model\n"])
def test_what_a_program_said_before_its_transcript_is_left_out_and_counted(tmp_path, content, head):
    counts = []
    plain = read_words(file(tmp_path, "plain.txt", content), counts.append)
    assert counts == []
    assert read_words(file(tmp_path, "talk.txt", head + content), counts.append) == plain
    assert counts == [sum(bool(line) for line in head.splitlines())]


@pytest.mark.parametrize("said", ["\n".join(map(json.dumps, EVENTS)), RTTM, SPOKEN], ids=["json lines", "rttm", "vtt"])
def test_what_a_program_said_before_the_turns_is_left_out_and_counted(tmp_path, capsys, said):
    events = file(tmp_path, "e.txt", HEAD + said)
    assert main(["align", str(file(tmp_path, "a.json", WHISPER)), str(events)]) == 0
    output = capsys.readouterr()
    assert output.out == "Ada: Good morning.\nBob: Hello.\n"
    assert "e.txt: 2 lines" in output.err
    # In the middle they are damage.
    broken = said.splitlines()
    if not said.startswith(("WEBVTT", "SPEAKER")):
        with pytest.raises(TranscriptUnreadable, match="line 2"):
            read_turns(file(tmp_path, "b.txt", "\n".join([broken[0], "oops", *broken[1:]])))


def test_run_puts_words_and_speakers_together_at_once(tmp_path, capsys):
    words = [
        {"word": "one", "start": 2.0, "end": 2.4},
        {"word": "two", "start": 2.5, "end": 3.0},
        {"word": "never", "start": 500.0, "end": 501.0},
    ]
    transcript, captions = file(tmp_path, "w.json", words), tmp_path / "talk.srt"
    store = str(tmp_path / "people.db")
    base = ["run", str(CONVERSATION), "--words", str(transcript), "--model", "sincnet", "--store", store]
    SpeakerStore(store).close()
    assert main([*base, "--srt", str(captions)]) == 0
    assert "guest-1: one two\n" in capsys.readouterr().out
    assert "00:00:02,000 --> 00:00:03,000\nguest-1: one two\n" in captions.read_text()
    assert "never" in captions.read_text()
    # Mistakes are said before anything is heard, and what is read is not written to.
    assert main([*base, "--srt", str(transcript)]) == 2
    assert main([*base[:3], str(tmp_path / "none.json"), *base[4:]]) == 2
    assert json.loads(transcript.read_text()) == words

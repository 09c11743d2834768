"""Sinks that write: JSON lines, RTTM, plain lines, recordings."""

import io
import json

import numpy as np
import pytest
import soundfile

from streamer.audio.chunks import SAMPLE_RATE as S
from streamer.audio.chunks import Chunk, Gap
from streamer.rttm import read_rttm
from streamer.sinks.audacity import AudacityLabels
from streamer.sinks.files import OutputFiles
from streamer.sinks.jsonl import JsonLines
from streamer.sinks.lines import Lines
from streamer.sinks.minutes import Minutes
from streamer.sinks.recording import Recorder, Tapped
from streamer.sinks.rttm import Rttm
from streamer.sinks.subrip import SubRip
from streamer.sinks.webvtt import WebVtt
from streamer.speakers.events import Ambiguous, Correction, GapEvent, Overload, Renamed, Speaker, SpeechStart, TurnEnd
from streamer.speakers.timeline import Timeline, clock

EVENTS = [
    SpeechStart(sample=S, decided_sample=2 * S),
    Speaker(sample=S, decided_sample=2 * S, turn=1, speaker="Ada L", confidence=0.8, score=0.5),
    Correction(sample=S, decided_sample=3 * S, turn=1, speaker="Zoë", confidence=0.9, score=0.6, previous="Ada L"),
    TurnEnd(sample=5 * S, decided_sample=6 * S, turn=1, start_sample=S, speaker="Zoë", confidence=0.9),
    GapEvent(sample=6 * S, decided_sample=8 * S, end_sample=8 * S, reason="device lost"),
    Overload(sample=8 * S, decided_sample=9 * S, skipped=3),
    Ambiguous(sample=9 * S, decided_sample=12 * S, turn=2, candidates=("Ada L", "unknown"), confidence=0.5),
    TurnEnd(sample=13 * S, decided_sample=14 * S, turn=2, start_sample=9 * S, speaker="guest-1", confidence=0.7),
    Renamed(sample=0, decided_sample=15 * S, speaker="Ada L", previous="guest-1"),
]


def told(sink):
    for event in EVENTS:
        sink.event(event, None)


def test_json_lines_are_the_events_of_the_protocol():
    file = io.StringIO()
    told(JsonLines(file))
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert lines == [json.loads(json.dumps(event.to_dict())) for event in EVENTS]
    assert lines[2]["speaker"] == "Zoë"
    assert lines[3]["time"] == 5.0


def test_rttm_holds_every_turn_that_is_over_before_it_is_closed(tmp_path):
    sink = Rttm(tmp_path / "meeting.rttm", "board room")
    told(sink)
    # As a killed process would leave it.
    assert read_rttm(sink.path) == [(S, 5 * S, "Zoë"), (9 * S, 13 * S, "Ada_L")]
    first = sink.path.read_text()
    sink.close(None)
    assert first.startswith("SPEAKER board_room 1 1.000 4.000 <NA> <NA> Zoë <NA> <NA>\n")


def test_rttm_ends_with_the_last_names(tmp_path):
    sink = Rttm(tmp_path / "meeting.rttm", "x")
    told(sink)
    sink.close(None)
    assert [who for _, _, who in read_rttm(sink.path)] == ["Zoë", "Ada_L"]
    assert list(tmp_path.iterdir()) == [sink.path]


def test_subrip_numbers_its_cues_through_corrections_and_new_names(tmp_path):
    sink = SubRip(tmp_path / "meeting.srt")
    told(sink)
    expected = "1\n00:00:01,000 --> 00:00:05,000\nZoë\n\n2\n00:00:09,000 --> 00:00:13,000\nAda L\n\n"
    assert sink.path.read_text() == expected
    sink.close(None)
    assert sink.path.read_text() == expected


def test_subrip_numbers_go_on_where_earlier_turns_are_settled(tmp_path):
    sink = SubRip(tmp_path / "long.srt")
    for turn in range(40):
        start, end = 10 * turn * S, (10 * turn + 8) * S
        sink.event(
            TurnEnd(sample=end, decided_sample=end, turn=turn, start_sample=start, speaker="A", confidence=1), None
        )
    sink.close(None)
    numbers = [block.split("\n")[0] for block in sink.path.read_text().split("\n\n") if block.strip()]
    assert numbers == [str(number) for number in range(1, 41)]


def test_labels_of_audacity_are_three_fields_parted_by_tabs(tmp_path):
    sink = AudacityLabels(tmp_path / "labels.txt")
    told(sink)
    sink.close(None)
    assert sink.path.read_text() == "1.000000\t5.000000\tZoë\n9.000000\t13.000000\tAda L\n"


@pytest.mark.parametrize("kind", [WebVtt, SubRip, AudacityLabels], ids=lambda kind: kind.__name__)
def test_no_name_breaks_out_of_its_line(tmp_path, kind):
    def lines(name):
        sink = kind(tmp_path / "a")
        sink.event(TurnEnd(sample=S, decided_sample=S, turn=1, start_sample=0, speaker=name, confidence=1.0), None)
        sink.close(None)
        return sink.path.read_text()

    plain = lines("Ada")
    odd = lines("A\td\na --> b")
    assert len(odd.splitlines()) == len(plain.splitlines())
    assert odd.count("-->") == plain.count("-->") or kind is AudacityLabels
    assert odd.count("\t") == plain.count("\t")


def test_files_written_at_once_are_those_written_as_it_was_heard(tmp_path):
    live, later = tmp_path / "live", tmp_path / "later"
    for folder in (live, later):
        folder.mkdir()
    names = {"rttm": "a.rttm", "vtt": "a.vtt", "srt": "a.srt", "audacity": "a.txt"}
    sinks = OutputFiles(**{name: live / path for name, path in names.items()}).sinks("Title", "a")
    timeline = Timeline()
    for event in EVENTS:
        timeline.hear(event)
        for sink in sinks:
            sink.event(event, None)
    for sink in sinks:
        sink.close(None)
    files = OutputFiles(**{name: later / path for name, path in names.items()}, minutes=later / "a.html")
    files.write(timeline.everything(), timeline.now_sample, "Title", "a")
    for path in names.values():
        assert (later / path).read_text() == (live / path).read_text() != ""
    assert "<title>Title</title>" in (later / "a.html").read_text()


def test_plain_lines_say_what_a_reader_should_know():
    file = io.StringIO()
    told(Lines(file))
    text = file.getvalue()
    assert "  0:01.0 -   0:05.0  Zoë (90%)\n" in text
    for said in ("it is Zoë, not Ada L", "device lost", "3 steps left out", "Ada L or unknown", "guest-1 is Ada L"):
        assert said in text
    assert len(text.splitlines()) == 7


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00.0"), (61.25, "1:01.2"), (3600, "1:00:00.0")], ids=["start", "minute", "hour"]
)
def test_positions_are_shown_as_a_clock_shows_them(seconds, shown):
    assert clock(round(seconds * S)) == shown


def test_a_recording_keeps_time_over_gaps(tmp_path):
    sound = np.linspace(-0.5, 0.5, S, dtype=np.float32)
    recorder = Recorder(tmp_path / "kept.flac")
    recorder.hear(Chunk(0, sound))
    recorder.hear(Gap(S, S + 40_000, "packet loss"))
    recorder.hear(Chunk(S + 40_000, sound))
    recorder.close()
    kept, rate = soundfile.read(tmp_path / "kept.flac", dtype="float32")
    assert (rate, len(kept)) == (S, 2 * S + 40_000)
    assert kept[:S] == pytest.approx(sound, abs=1e-4)
    assert not kept[S : S + 40_000].any()
    assert kept[-S:] == pytest.approx(sound, abs=1e-4)


async def test_who_taps_a_source_hears_what_goes_by():
    class Source:
        def __init__(self):
            self.open = False

        async def __aenter__(self):
            self.open = True
            return self

        async def __aexit__(self, *exception):
            self.open = False

        async def __aiter__(self):
            yield Chunk(0, np.zeros(5, np.float32))
            yield Gap(5, 9, "why")

    source, heard = Source(), []
    async with Tapped(source, heard.append) as tapped:
        assert source.open
        passed = [event async for event in tapped]
    assert not source.open
    assert passed == heard
    assert len(passed) == 2


def test_what_is_there_stays_until_something_is_heard(tmp_path):
    for name, make in {"a.rttm": lambda path: Rttm(path, "a"), "a.jsonl": JsonLines, "a.html": Minutes}.items():
        path = tmp_path / name
        path.write_text("earlier")
        sink = make(path)
        sink.close(None)
        assert path.read_text() == "earlier"
    recorded = tmp_path / "a.wav"
    recorded.write_text("earlier")
    Recorder(recorded).close()
    assert recorded.read_text() == "earlier"
    with pytest.raises(OSError, match=r"no directory.*none"):
        Recorder(tmp_path / "none" / "a.wav")


def test_letters_that_a_file_does_not_have_are_escaped_in_json(tmp_path):
    event = SpeechStart(sample=0, decided_sample=0, reason="Zoë 王 👩")
    with (tmp_path / "a.jsonl").open("w", encoding="ascii") as file:
        JsonLines(file).event(event, None)
    assert json.loads((tmp_path / "a.jsonl").read_text(encoding="ascii"))["reason"] == "Zoë 王 👩"

"""Files of turns: valid at every moment, whatever becomes of the process."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.audio.chunks import SAMPLE_RATE as S
from streamer.rttm import read_rttm
from streamer.sinks.rttm import Rttm
from streamer.sinks.webvtt import WebVtt
from streamer.speakers.events import Renamed, Speaker, TurnEnd

CUE = re.compile(r"(\d\d):(\d\d):(\d\d\.\d{3}) --> (\d\d):(\d\d):(\d\d\.\d{3})\n<v ([^>]*)>.+\n")

#: Talks for ever in turns of 7 s; says how far it is.
TALKER = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
from streamer.sinks.jsonl import JsonLines
from streamer.sinks.rttm import Rttm
from streamer.sinks.webvtt import WebVtt
from streamer.speakers.events import Speaker, TurnEnd

folder, S = Path(sys.argv[1]), 16_000
sinks = [Rttm(folder / "a.rttm", "a"), WebVtt(folder / "a.vtt"), JsonLines((folder / "a.jsonl").open("w"))]
for second in range(1, 1_000_000):
    turn, events, now = second // 8, [], second * S
    name, start = f"speaker {turn % 3}", turn * 8 * S
    if second % 8 == 0:
        events.append(Speaker(sample=now, decided_sample=now, turn=turn, speaker=name, confidence=0.9, score=0.5))
    elif second % 8 == 7 and turn:
        end = TurnEnd(sample=now, decided_sample=now, turn=turn, start_sample=start, speaker=name, confidence=1)
        events.append(end)
    for sink in sinks:
        for event in events:
            sink.event(event, None)
        sink.step(SimpleNamespace(end_sample=now), None)
    print(second, flush=True)
"""


def cues(text):
    assert text.startswith("WEBVTT\n\n")
    found = []
    for block in text.removeprefix("WEBVTT\n\n").split("\n\n"):
        if block:
            h, m, s, h2, m2, s2, who = CUE.fullmatch(block + "\n").groups()
            found.append((int(h) * 3600 + int(m) * 60 + float(s), int(h2) * 3600 + int(m2) * 60 + float(s2), who))
    return found


@pytest.mark.parametrize("lines", [20, 777])
def test_a_killed_process_leaves_valid_files_up_to_the_last_second(tmp_path, lines):
    process = subprocess.Popen([sys.executable, "-c", TALKER, tmp_path], stdout=subprocess.PIPE, text=True)
    for _ in range(lines):
        second = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read().split()
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    second = int(rest[-1]) if rest else second
    turns = [(start / S, end / S, who.replace("_", " ")) for start, end, who in read_rttm(tmp_path / "a.rttm")]
    assert turns[-1][1] >= second - 1
    assert [turn[0] for turn in turns] == [8.0 * number for number in range(1, len(turns) + 1)]
    written = cues((tmp_path / "a.vtt").read_text())
    assert abs(len(written) - len(turns)) <= 1
    assert written[: len(turns) - 1] == turns[: len(written)][: len(turns) - 1]
    events = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert events[-1]["sample"] >= (second // 8) * 8 * S - S


TURNS = st.lists(
    st.tuples(st.integers(0, 120), st.integers(1, 20), st.sampled_from(["ada", "Zoë & co", "guest-1"])), max_size=10
)


@given(TURNS, st.integers(0, 20))
def test_any_turns_are_in_order_and_complete_at_every_moment(tmp_path_factory, turns, rename_at):
    """Turns that overlap and end in any order, as those of a room do."""
    folder = tmp_path_factory.mktemp("turns")
    rttm, vtt = Rttm(folder / "a.rttm", "a"), WebVtt(folder / "a.vtt")
    events = []
    for number, (start, length, who) in enumerate(turns):
        end = start + length
        events.append(
            (start + 1, Speaker(sample=start * S, decided_sample=(start + 1) * S, turn=number, speaker=who,
                                confidence=0.5, score=0.5))
        )  # fmt: skip
        events.append(
            (end + 1, TurnEnd(sample=end * S, decided_sample=(end + 1) * S, turn=number, start_sample=start * S,
                              speaker=who, confidence=0.5))
        )  # fmt: skip
    events = [event for _, event in sorted(events, key=lambda item: item[0])]
    renamed = Renamed(sample=0, decided_sample=0, speaker="Eve", previous="guest-1")
    known = {}
    for sink in (rttm, vtt):
        sink.step(SimpleNamespace(end_sample=0), None)
    for number, event in enumerate(events):
        for sink in (rttm, vtt):
            if number == rename_at:
                sink.event(renamed, None)
            sink.event(event, None)
        if event.type == "turn_end":
            known[event.turn] = event
        starts = [start for start, _, _ in cues(vtt.path.read_text())]
        assert starts == sorted(starts)
        assert len(read_rttm(rttm.path)) >= len(known)
    for sink in (rttm, vtt):
        sink.close(None)
    written = sorted((round(start / S), round(end / S)) for start, end, _ in read_rttm(rttm.path))
    assert written == sorted((start, start + length) for start, length, _ in turns)
    if rename_at < len(events):
        late = {event.speaker for number, event in enumerate(events) if number >= rename_at}
        assert ("guest-1" in rttm.path.read_text()) <= ("guest-1" in late)
    assert sorted(path.name for path in folder.iterdir()) == ["a.rttm", "a.vtt"]


def test_a_name_that_looks_like_a_tag_is_text(tmp_path):
    sink = WebVtt(tmp_path / "a.vtt")
    sink.event(TurnEnd(sample=S, decided_sample=S, turn=1, start_sample=0, speaker="<b>\nx-->y", confidence=1.0), None)
    sink.close(None)
    assert (
        sink.path.read_text() == "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n<v &lt;b&gt; x--&gt;y>&lt;b&gt; x--&gt;y\n\n"
    )

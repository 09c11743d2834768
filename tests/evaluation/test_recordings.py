"""Real recordings in one table: as they are, through a telephone, and from one half to the other."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import soundfile

from streamer.audio.chunks import SAMPLE_RATE as S
from streamer.audio.files import read_audio
from streamer.cli import main
from streamer.demo import ENROLMENT
from streamer.engine.incremental import IncrementalModel
from streamer.errors import ConfigurationError
from streamer.evaluation.diarisation import DiarisationErrors, errors, mapping
from streamer.evaluation.identification import identify
from streamer.evaluation.recordings import (
    Halves,
    Recording,
    Scored,
    alone,
    half_and_half,
    last_names,
    read_recordings,
    together,
    within,
)
from streamer.models.model import Model
from streamer.speakers.events import Renamed


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One recording of two bundled voices, 6 s each, twice: both speak in either half."""
    root = tmp_path_factory.mktemp("real")
    one, other = (read_audio(path).mono_16k() for path in list(ENROLMENT.values())[:2])
    parts = [one[: 6 * S], other[: 6 * S], one[6 * S : 10 * S], other[6 * S : 10 * S]]
    lines, start = [], 0.0
    for part, who in zip(parts, "abab", strict=True):
        lines.append(f"SPEAKER talk 1 {start:.3f} {len(part) / S:.3f} <NA> <NA> {who} <NA> <NA>")
        start += len(part) / S
    soundfile.write(root / "talk.flac", np.concatenate(parts), S)
    soundfile.write(root / "unknown.flac", parts[0], S)  # the reference does not speak of it
    (root / "reference.rttm").write_text("\n".join(lines) + "\n")
    return root


def test_the_parts_of_the_error_add_up_and_times_are_seconds():
    reference = [(0, 4 * S, "a"), (4 * S, 8 * S, "b"), (7 * S, 8 * S, "a")]
    hypothesis = [(S, 6 * S, "x"), (6 * S, 8 * S, "y"), (9 * S, 10 * S, "y")]

    found = errors(reference, hypothesis)

    assert found == DiarisationErrors(seconds=9.0, missed=2.0, false_alarm=1.0, confusion=2.0)
    assert found.der == pytest.approx(5 / 9)
    assert mapping(reference, hypothesis) == {"x": "a", "y": "b"}


def test_recordings_are_those_that_the_reference_speaks_of(folder, tmp_path):
    (one,) = read_recordings(folder)

    assert (one.name, one.speakers) == ("talk", {"a", "b"})
    with pytest.raises(ConfigurationError, match=r"no reference\.rttm"):
        read_recordings(tmp_path)
    (tmp_path / "reference.rttm").write_text("")
    with pytest.raises(ConfigurationError, match="no recording"):
        read_recordings(tmp_path)


def test_who_is_renamed_twice_has_the_last_name():
    renamed = [
        Renamed(sample=0, decided_sample=0, speaker=new, previous=old, reason="")
        for old, new in [("guest-3", "guest-2"), ("guest-2", "guest-1")]
    ]

    assert last_names(renamed) == {"guest-3": "guest-1", "guest-2": "guest-1"}


def test_somebody_is_enrolled_from_where_they_speak_alone():
    samples = np.arange(10 * S, dtype=np.float32)
    one = Recording("x", samples, ((0, 5 * S, "a"), (4 * S, 6 * S, "b"), (8 * S, 10 * S, "a")))

    found = alone(one, "a", S, 9 * S)

    assert found is not None
    assert np.array_equal(found, np.concatenate([samples[S : 4 * S], samples[8 * S : 9 * S]]))
    assert alone(one, "b", 0, 10 * S) is None  # one second
    assert within(one.turns, 5 * S, 9 * S) == [(0, S, "b"), (3 * S, 4 * S, "a")]


def test_each_is_the_stranger_once_in_either_direction(folder):
    (one,) = read_recordings(folder)
    engine = IncrementalModel(Model.from_pretrained("default"))

    found = list(half_and_half(engine, one))

    assert sorted(half.enrolled for half in found) == [("a",), ("a",), ("b",), ("b",)]
    assert all(half.found.stranger_s > 2 and half.known.speech_s > 2 for half in found)


def test_what_strangers_are_called_counts_by_their_time():
    reference = [(0, 4 * S, "a"), (4 * S, 6 * S, "b")]
    good = [(0, 4 * S, "a"), (4 * S, 6 * S, "guest-1")]
    bad = [(0, 2 * S, "guest-1"), (2 * S, 6 * S, "a")]

    def half(hypothesis: list[tuple[int, int, str]]) -> Halves:
        theirs, named = ([turn for turn in turns if turn[2] == "a"] for turns in (reference, hypothesis))
        return Halves("x", ("a",), identify(reference, hypothesis, ["a"]), identify(theirs, named, ["a"]))

    scored = [Scored("x", DiarisationErrors(10.0, 1.0, 2.0, 3.0), 4, 2, [0.5, math.inf, math.inf])]
    report = together(scored, [half(good), half(bad)])

    assert (report.strangers_named, report.strangers_s) == (0.5, 4.0)
    assert (report.known_wrong, report.known_unnamed, report.known_s) == (0.0, pytest.approx(0.25), 8.0)
    assert (report.der, report.guests_per_speaker) == (pytest.approx(0.6), 0.5)
    assert (report.delay_s, report.never) == (math.inf, pytest.approx(2 / 3))


def test_the_command_has_a_row_for_each_condition_and_for_another_system(folder, tmp_path, capsys):
    (tmp_path / "other.rttm").write_text((folder / "reference.rttm").read_text())
    command = ["evaluate", "recordings", str(folder), "--hypothesis", str(tmp_path / "other.rttm")]

    assert main([*command, "--json"]) == 0

    found = json.loads(capsys.readouterr().out)
    name = folder.name
    assert list(found) == [name, f"{name}, telephone-mulaw", f"{name}, other"]
    assert found[f"{name}, other"]["der"] == 0.0
    assert found[f"{name}, other"]["guests_per_speaker"] == 1.0
    clean = found[name]
    assert clean["der"] == pytest.approx(clean["missed"] + clean["false_alarm"] + clean["confusion"])
    assert clean["strangers_s"] > 0
    assert main([*command, "--no-halves", "--condition", "clean", "--each"]) == 0
    assert "| talk |" in capsys.readouterr().out

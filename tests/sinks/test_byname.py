"""`--sink NAME=ARGUMENT`: the sinks of this package by their names."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path

import pytest

import streamer.sinks
from streamer.cli import main
from streamer.demo import CONVERSATION
from streamer.errors import ConfigurationError
from streamer.sinks import byname
from streamer.sinks.base import SessionView, Sink
from streamer.speakers.events import TurnEnd

END = TurnEnd(sample=16_000, decided_sample=16_000, turn=1, start_sample=0, speaker="ada", confidence=1.0)


@pytest.mark.parametrize("name", byname.FILES)
def test_each_file_is_written_by_its_name(name, tmp_path):
    path, view = tmp_path / "out", SessionView("s")
    sink = byname.make(f"{name}={path}")
    view.timeline.hear(END)
    view.timeline.advance(16_000)
    sink.event(END, view)
    sink.step(type("Step", (), {"end_sample": 16_000})(), view)
    sink.close(view)
    assert "ada" in path.read_text()


def test_every_sink_of_one_argument_has_a_name():
    named = {place.partition(":")[2] for place in (byname.FILES | byname.OTHERS).values()}
    there = set()
    for file in Path(streamer.sinks.__path__[0]).glob("*.py"):
        module = import_module(f"streamer.sinks.{file.stem}")
        for kind in vars(module).values():
            if inspect.isclass(kind) and issubclass(kind, Sink) and kind.__module__ == module.__name__:
                needed = [p for p in inspect.signature(kind).parameters.values() if p.default is p.empty]
                if len(needed) == 1 and not inspect.isabstract(kind):
                    there.add(kind.__name__)
    # Lines takes an open file, and TurnFile is what others are made of.
    assert there - {"Lines", "TurnFile"} == named


@pytest.mark.parametrize(("given", "problem"), [("vtt", "--sink vtt needs an argument"), ("cvs=x", "'cvs'")])
def test_a_name_that_cannot_be_made_says_what_is_wrong(given, problem):
    with pytest.raises(ConfigurationError, match=problem):
        byname.make(given)


def test_a_recording_is_never_written_over_by_a_named_sink(tmp_path, capsys):
    talk = tmp_path / "talk.ogg"
    talk.write_bytes(CONVERSATION.read_bytes())
    assert main(["run", str(talk), "--sink", f"vtt={talk}"]) == 2
    assert "which is read; give another name" in capsys.readouterr().err
    assert talk.read_bytes() == CONVERSATION.read_bytes()

"""The command: quick help, one-line errors, exit codes."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest
import typer
from processor import cheap, run

from streamer.cli import app, main

HEAVY = ("torch", "scipy", "numba", "sqlalchemy", "av", "matplotlib", "huggingface_hub", "pyannote.core")
COMMAND = [sys.executable, "-m", "streamer.cli"]


def test_help_is_quick():
    output = cheap(lambda: run([*COMMAND, "--help"])).stdout
    assert all(name in output for name in app.COMMANDS)


def test_no_command_imports_anything_heavy_for_its_help():
    code = (
        "import sys; from streamer.cli import app, main\n"
        "for name in app.COMMANDS:\n"
        "    main([name, '--help'])\n"
        f"    print('#', name, *[module for module in {HEAVY} if module in sys.modules])\n"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    found = [line.split()[1:] for line in output.splitlines() if line.startswith("#")]
    assert [name for name, *_ in found] == list(app.COMMANDS)
    assert [name for name, *heavy in found if heavy] == []


@pytest.mark.parametrize("name", app.COMMANDS)
def test_every_subcommand_is_there_and_has_help(name, capsys):
    module, line = app.COMMANDS[name]
    assert isinstance(import_module(module).app, typer.Typer)
    assert line.endswith(".")
    assert main([name, "--help"]) == 0
    assert f"streamer {name}" in capsys.readouterr().out


def test_no_arguments_are_a_call_for_help(capsys):
    assert main([]) == 0
    assert "Commands:" in capsys.readouterr().out


def test_the_version_is_printed(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("streamer 0.")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bogus"], "No such command 'bogus'"),
        (["embed"], "Missing argument"),
        (["embed", "--bogus", "x"], "No such option"),
        (["verify", "a.wav", "b.wav", "--threshold", "7"], "threshold"),
        (["embed", "none.wav", "--model", "none.safetensors"], "none.safetensors"),
        (["model"], "Missing command"),
    ],
    ids=" ".join,
)
def test_an_error_is_one_line_and_exit_code_2(arguments, words, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("streamer: ")
    assert captured.err.count("\n") == 1
    assert words in captured.err


@pytest.mark.parametrize("arguments", [["--debug", "embed", "none.wav"], ["embed", "none.wav", "--debug"]], ids=str)
def test_a_traceback_is_shown_on_demand(arguments, model_file, capsys):
    assert main([*arguments, "--model", str(model_file)]) == 2
    captured = capsys.readouterr()
    assert "Traceback" in captured.err
    assert captured.err.splitlines()[-1].startswith("streamer: 'none.wav'")


def test_an_unforeseen_error_is_one_line_too(monkeypatch, capsys):
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr("streamer.cli.model.load_model", broken)
    assert main(["model", "info"]) == 2
    expected = "streamer: unexpected ZeroDivisionError: by zero (--debug shows the traceback)\n"
    assert capsys.readouterr().err == expected


def test_an_interrupt_has_the_shells_exit_code(monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("streamer.cli.model.load_model", interrupted)
    assert main(["model", "info"]) == 130


def test_a_reader_that_leaves_ends_the_command_quietly():
    process = subprocess.Popen([*COMMAND, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == ""
    assert process.wait() == app.EXIT_BROKEN_PIPE

"""What the documents show works: their Python runs, their commands parse, their files are there.

A block that needs a network, hardware or a running server has `<!-- no-run: reason -->` before its fence; its commands
are parsed all the same.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import soundfile
import typer

from streamer.audio.files import read_audio
from streamer.cli import app as cli
from streamer.demo import CONVERSATION, ENROLMENT

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "demos").glob("*.md"))]
FENCE = re.compile(r"(?:<!-- no-run:(?P<reason>[^\n]*)-->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S)
INLINE = re.compile(r"`(streamer [^`]+)`")
INDENTED = re.compile(r"^ {4,}(streamer .*)$", re.M)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    reason: str | None


def blocks(page: Path) -> list[Block]:
    found = FENCE.finditer(page.read_text(encoding="utf-8"))
    return [Block(match["language"], match["text"], match["reason"]) for match in found]


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


PYTHON = [page for page in PAGES if any(block.language == "python" for block in blocks(page))]


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    """A folder with the files that the examples speak of, and no store but what they make in it."""
    voices = list(ENROLMENT.values())
    for name, source in {"ada": voices[0], "bob": voices[2]}.items():
        soundfile.write(tmp_path / f"{name}.wav", read_audio(source).mono_16k(), 16_000)
    soundfile.write(tmp_path / "talk.wav", read_audio(CONVERSATION).mono_16k()[: 9 * 16_000], 16_000)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path


@pytest.mark.parametrize("page", PYTHON, ids=named)
def test_the_python_of_a_page_runs_from_top_to_bottom(page, recordings):
    names: dict[str, Any] = {"__name__": "documents"}
    for block in blocks(page):
        if block.language == "python" and block.reason is None:
            exec(compile(block.text, named(page), "exec", dont_inherit=True), names)


def commands() -> list[tuple[str, str]]:
    """Every `streamer ...` in the documents, with the name of its page."""
    found = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        shell = "\n".join(block.text for block in blocks(page) if block.language in ("sh", "bash", "console"))
        lines = [line.removeprefix("$ ") for line in shell.replace("\\\n", " ").splitlines()]
        lines = [line for line in lines if line.startswith("streamer ")]
        prose = FENCE.sub("", text)
        lines += [line for pattern in (INLINE, INDENTED) for line in pattern.findall(prose)]
        found |= {(named(page), shlex.join(shlex.split(line, comments=True))) for line in lines}
    return sorted(found)


@pytest.mark.parametrize(("page", "line"), commands(), ids=lambda value: value)
def test_every_command_that_is_shown_has_these_options(page, line):
    words = shlex.split(line)[1:]
    # What stands behind a redirection or a pipe is the shell's.
    words = words[: next((place for place, word in enumerate(words) if word in (">", "|")), None)]
    if words[0].startswith("-"):
        assert words in (["--help"], ["--version"])
        return
    name = words.pop(0)
    assert name in cli.COMMANDS
    command: Any = typer.main.get_command(cli.build(name)).commands[name]  # type: ignore[attr-defined]
    while hasattr(command, "commands") and words:
        command = command.commands[words.pop(0)]
    if hasattr(command, "commands") or words in ([], ["..."]) or "--help" in words:
        return
    # Parses and converts every argument, without calling the command.
    command.make_context(name, words)


def test_what_does_not_run_says_why_and_is_little():
    silent = [(named(page), block.reason) for page in PAGES for block in blocks(page) if block.reason is not None]
    assert all(reason and len(reason.split()) > 1 for _, reason in silent)
    assert len([1 for page in PAGES for block in blocks(page) if block.language == "python"]) > 2 * len(
        [1 for page in PAGES for block in blocks(page) if block.language == "python" and block.reason is not None]
    )


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_file_that_is_linked_is_there(page):
    # cli.md is made when the site is built.
    links = [link for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))) if link != "cli.md"]
    assert [link for link in links if not (page.parent / link).exists()] == []


HOW_TO = sorted((ROOT / "docs").glob("add-*.md"))


@pytest.mark.parametrize("page", HOW_TO, ids=named)
def test_the_files_that_a_how_to_page_names_are_there(page):
    files = re.findall(r"`((?:streamer|docs|tests)/[\w./-]+\.\w+)`", page.read_text(encoding="utf-8"))
    assert len(files) > 1
    assert [file for file in files if not (ROOT / file).exists() and "NAME" not in file] == []


def test_adding_a_sink_touches_two_files():
    text = (ROOT / "docs" / "add-a-sink.md").read_text(encoding="utf-8")
    table = text[text.index("| file |") : text.index("\n\n| method")]
    assert re.findall(r"^\| `([^`]+)`", table, re.M) == ["streamer/sinks/NAME.py", "streamer/sinks/byname.py"]

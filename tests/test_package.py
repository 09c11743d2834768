"""What the package promises before anything is used."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import streamer

HEAVY = ("torch", "scipy", "numba", "sqlalchemy", "av", "matplotlib", "huggingface_hub", "pyannote.core")


@pytest.mark.parametrize("module", ["streamer", "streamer.cli", "streamer.errors"])
def test_importing_is_cheap(module):
    code = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert output.strip() == "[]"


def test_every_name_that_is_offered_is_there():
    for name in streamer.__all__:
        assert getattr(streamer, name) is not None
    assert set(dir(streamer)) == set(streamer.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        _ = streamer.nothing


def test_no_two_classes_share_a_name():
    there: dict[str, list[str]] = {}
    for path in (Path(__file__).parents[1] / "streamer").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                there.setdefault(node.name, []).append(path.name)
    assert {name: files for name, files in there.items() if len(files) > 1} == {}


def test_the_version_is_the_distributions():
    assert streamer.__version__ == version("speaker-streamer")


def test_a_plain_install_reads_what_telephones_and_browsers_record():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert any(needed.startswith("av>=") for needed in project["dependencies"])

"""What a user installs: the wheel has all of the package and nothing beside it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEST_TOOLS = {
    "axe-playwright-python",
    "hypothesis",
    "mypy",
    "playwright",
    "pytest",
    "pytest-asyncio",
    "ruff",
    "setuptools",
}
LEFTOVERS = shutil.ignore_patterns("__pycache__", "*.pyc", "*.nbi", "*.nbc", ".*")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy: setuptools leaves folders beside what it builds."""
    pytest.importorskip("setuptools", reason="setuptools is not installed, so no wheel can be built")
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "copy"
    shutil.copytree(ROOT / "streamer", copy / "streamer", ignore=LEFTOVERS)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    code = f"from setuptools import build_meta; print(build_meta.build_wheel({str(folder)!r}))"
    output = subprocess.run([sys.executable, "-c", code], cwd=copy, check=True, capture_output=True, text=True).stdout
    return zipfile.ZipFile(folder / output.splitlines()[-1])


@pytest.fixture(scope="module")
def metadata(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return message_from_bytes(wheel.read(name))


def test_every_file_of_the_package_is_in_the_wheel(wheel):
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    sources = (path for path in (ROOT / "streamer").rglob("*") if path.is_file())
    wanted = {
        path.relative_to(ROOT).as_posix()
        for path in sources
        if path.suffix not in (".pyc", ".nbi", ".nbc") and not path.name.startswith(".")
    }
    assert wanted == held


@pytest.mark.parametrize(
    "name",
    [
        "streamer/py.typed",
        "streamer/models/weights/sincnet.safetensors",
        "streamer/models/weights/campplus.safetensors",
        "streamer/models/weights/campplus-live.safetensors",
        "streamer/models/weights/NOTICE",
        "streamer/server/page/index.html",
        "streamer/server/page/icon.svg",
        "streamer/protocol/protocol.schema.json",
        "streamer/demo/conversation.ogg",
        "streamer/demo/NOTICE",
    ],
)
def test_what_runs_without_a_network_is_in_the_wheel(wheel, name):
    assert wheel.getinfo(name).filename == name


def test_the_licence_comes_along(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith("licenses/LICENSE"))
    assert wheel.read(name) == (ROOT / "LICENSE").read_bytes()


def test_a_user_gets_no_test_tools(metadata):
    required = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert any(line.startswith("torch") for line in required)
    assert not [line for line in required if line.split(">")[0].strip().lower() in TEST_TOOLS]


def test_the_extras_are_those_that_the_documents_name(metadata):
    extras = {"media", "onnx", "postgres", "ray", "evaluation", "notebook", "training", "docs", "dev"}
    assert set(metadata.get_all("Provides-Extra", [])) == extras

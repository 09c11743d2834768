"""A package that is installed beside this one brings a source, a sink and a network: a real one, made by pip."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")


def installed(folder: Path, name: str = "my-package", text: str | None = None) -> Path:
    """The package of docs/plugins.md, installed into a folder that can be put on the path."""
    source = folder / f"source-{name}"
    source.mkdir()
    project = re.search(r"^```toml\n(.*?)^```$", PAGE, re.M | re.S)
    code = re.search(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)
    assert project and code
    module = name.replace("-", "_")
    build = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    told = project[1].replace("my-package", name).replace("my_package", module)
    (source / "pyproject.toml").write_text(f'{build}{told}\n[tool.setuptools]\npy-modules = ["{module}"]\n')
    (source / f"{module}.py").write_text(code[1] if text is None else text)
    target = folder / "site"
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", target, source], check=True)
    return target


def streamer(site: Path, *words: str) -> subprocess.CompletedProcess[str]:
    data = str(site.parent / "data")  # nobody's own store
    environment = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}", "XDG_DATA_HOME": data}
    return subprocess.run(
        [sys.executable, "-m", "streamer", *words], env=environment, capture_output=True, text=True, check=False
    )


def test_what_a_package_brings_is_used_by_its_names(tmp_path):
    site = installed(tmp_path)
    store = ["--store", str(tmp_path / "people.db")]
    counts = tmp_path / "counts.txt"
    made = streamer(site, "run", "tone:3", "--sink", f"count={counts}", "--model", "mine", "--json")
    assert made.returncode == 0, made.stderr
    assert re.fullmatch(r"\d+ steps, \d+ events\n", counts.read_text())
    assert int(counts.read_text().split()[0]) >= 5
    wrong = streamer(site, "run", "tone:3", "--sink", "cuont=x")
    assert (wrong.returncode, "there are: count" in wrong.stderr) == (2, True), wrong.stderr
    failing = streamer(site, "run", "tone:three", *store)
    assert failing.returncode == 2
    assert "source 'tone' (my_package:tone) failed" in failing.stderr
    unknown = streamer(site, "run", "tune:3", *store)
    assert (unknown.returncode, "tune:3" in unknown.stderr) == (2, True)


def test_two_packages_with_one_name_are_told_apart_by_nobody(tmp_path):
    installed(tmp_path)
    site = installed(tmp_path, "other-package")
    both = streamer(site, "run", "tone:3")
    assert both.returncode == 2
    assert "my-package, other-package" in both.stderr


@pytest.mark.parametrize("words", [("doctor", "--json"), ("run", "nothing.wav")])
def test_nothing_of_a_package_is_imported_before_its_name_is_used(tmp_path, words):
    site = installed(tmp_path, text="raise SystemExit('imported')")
    assert "imported" not in streamer(site, *words).stderr

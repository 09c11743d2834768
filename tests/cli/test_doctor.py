"""`streamer doctor`: what is there is found, what is not there has advice, and what is needed decides the exit code."""

from __future__ import annotations

import json
import sys
from importlib import metadata
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from streamer import diagnosis
from streamer.cli import main
from streamer.models.model import Model
from streamer.speakers.profiles import Exemplar
from streamer.speakers.store import SpeakerStore


def examined(capsys: pytest.CaptureFixture[str], *options: str, code: int = 0) -> dict[str, dict[str, Any]]:
    assert main(["doctor", "--json", *options]) == code
    return {one["name"]: one for one in json.loads(capsys.readouterr().out)}


@pytest.fixture
def store(tmp_path):
    return str(tmp_path / "people.db")


def test_everything_that_is_there_is_named_with_its_version(store, capsys):
    found = examined(capsys, "--store", store)
    assert set(found) == {
        "configuration", "python", "packages", "torch", "processor", "compiled loops", "microphones", "ffmpeg",
        "onnxruntime", "psycopg", "matplotlib", "model", "store",
    }  # fmt: skip
    assert found["torch"]["said"].startswith(torch.__version__)
    for name in ("numba", "soundfile", "websockets", "typer"):
        assert f"{name} {metadata.version(name)}" in found["packages"]["said"]
    assert Model.from_pretrained("default").fingerprint in found["model"]["said"]
    for one in found.values():
        assert one["state"] == "ok" or one["advice"] or "install" in one["said"], one


def test_lines_say_the_same(store, capsys):
    found = examined(capsys, "--store", store)
    assert main(["doctor", "--store", store]) == 0
    lines = capsys.readouterr().out.splitlines()
    for one in found.values():
        assert any(line.startswith(one["state"]) and one["name"] in line for line in lines)
        assert any(f"-> {one['advice']}" in line for line in lines) or not one["advice"]


def test_a_store_is_counted_and_not_made(store, tmp_path, capsys):
    found = examined(capsys, "--store", store)
    assert "not there yet" in found["store"]["said"]
    assert list(tmp_path.iterdir()) == []
    with SpeakerStore(store) as opened:
        for name in ("Ada", "Bob"):
            opened.add(name, "0123456789abcdef", [Exemplar(np.ones(8, np.float32), 5.0)])
    assert "2 speakers, 1 models" in examined(capsys, "--store", store)["store"]["said"]


@pytest.mark.parametrize("what", ["store", "model"])
def test_what_is_needed_and_broken_is_exit_code_2(what, store, tmp_path, capsys):
    letter = tmp_path / "letter.db"
    letter.write_text("Dear Ada, this is neither a store nor a model.\n" * 9)
    options = {"--store": store} | {f"--{what}": str(letter)}
    found = examined(capsys, *(word for pair in options.items() for word in pair), code=2)
    assert [one["name"] for one in found.values() if one["state"] == "broken"] == [what]
    assert "letter.db" in found[what]["said"]


def test_a_processor_that_is_not_there_is_broken(store, capsys):
    assert examined(capsys, "--device", "gpu", "--store", store, code=2)["processor"]["state"] == "broken"


def test_no_microphone_no_ffmpeg_and_no_extra_are_missing_with_advice_and_no_failure(store, capsys, monkeypatch):
    def query_devices(device: object = None, kind: object = None) -> list[object]:
        if device is None and kind is None:
            return []
        raise ValueError("none")

    deaf = SimpleNamespace(PortAudioError=OSError, query_devices=query_devices)
    monkeypatch.setitem(sys.modules, "sounddevice", deaf)
    for name in ("av", "onnxruntime", "psycopg", "matplotlib"):
        monkeypatch.setitem(sys.modules, name, None)
    found = examined(capsys, "--store", store)
    for name, advice in (
        ("microphones", "connect one"),
        ("ffmpeg", "[media]"),
        ("onnxruntime", "[onnx]"),
        ("psycopg", "[postgres]"),
        ("matplotlib", "[evaluation]"),
    ):
        assert found[name]["state"] == "missing"
        assert advice in found[name]["advice"]


def test_a_package_that_is_needed_and_absent_is_broken_and_the_rest_is_told(monkeypatch):
    there = metadata.version

    def version(name: str) -> str:
        if name == "soxr":
            raise metadata.PackageNotFoundError(name)
        return there(name)

    monkeypatch.setattr(diagnosis.metadata, "version", version)
    found = {one.name: one for one in diagnosis.examine(store="sqlite://")}
    assert found["packages"].state == "broken"
    assert found["packages"].advice == "pip install soxr"
    assert found["model"].state == "ok"


def test_a_library_that_raises_anything_is_broken_and_the_rest_is_told(monkeypatch):
    def list_devices() -> None:
        raise RuntimeError("an odd driver")

    monkeypatch.setattr("streamer.audio.sources.list_devices", list_devices)
    found = {one.name: one for one in diagnosis.examine(store="sqlite://")}
    assert found["microphones"].state == "missing"
    assert "RuntimeError: an odd driver" in found["microphones"].said
    assert found["store"].state == "ok"

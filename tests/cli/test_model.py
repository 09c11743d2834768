"""`streamer model` shows and converts."""

from __future__ import annotations

import json

import pytest

from streamer import Model
from streamer.cli import main
from streamer.cli.model import outline


def test_info_shows_what_a_model_is(model_file, local_model, capsys):
    assert main(["model", "info", str(model_file)]) == 0
    text = capsys.readouterr().out
    assert local_model.fingerprint in text
    assert main(["model", "info", str(model_file), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["fingerprint"] == local_model.fingerprint
    assert facts["minimum_s"] == pytest.approx(0.315, abs=1e-3)
    assert facts["threshold"] == 0.5
    assert facts["architecture"]["norm"] == "batch"


def test_what_a_fact_consists_of_stands_indented_below_it():
    facts = {
        "name": "sincnet",
        "details": {"hours": 5.300001, "recipe": "a = 1\n\n[b]\n", "points": [1.0, 0.25]},
        "x": None,
    }
    assert list(outline(facts)) == [
        "name     sincnet",
        "details",
        "  hours   5.3",
        "  recipe",
        "    a = 1",
        "",
        "    [b]",
        "  points  1, 0.25",
        "x        not recorded",
    ]


def test_converting_keeps_the_weights_and_records_what_is_given(model_file, local_model, tmp_path):
    output = tmp_path / "out.safetensors"
    options = ["--threshold", "0.25", "--name", "mine", "--license", "CC0-1.0"]
    assert main(["model", "convert", str(model_file), str(output), *options]) == 0
    converted = Model.from_pretrained(output)
    assert converted.fingerprint == local_model.fingerprint
    assert (converted.card.name, converted.card.threshold, converted.card.licence) == ("mine", 0.25, "CC0-1.0")


def test_half_precision_is_half_the_file(model_file, tmp_path):
    output = tmp_path / "half.safetensors"
    assert main(["model", "convert", str(model_file), str(output), "--dtype", "float16"]) == 0
    assert output.stat().st_size < 0.55 * model_file.stat().st_size


def test_a_file_is_not_replaced_unasked(model_file, tmp_path, capsys):
    output = tmp_path / "out.safetensors"
    output.write_bytes(b"precious")
    assert main(["model", "convert", str(model_file), str(output)]) == 2
    assert "--force replaces it" in capsys.readouterr().err
    assert output.read_bytes() == b"precious"
    assert main(["model", "convert", str(model_file), str(output), "--force"]) == 0


def test_another_ending_is_refused(model_file, tmp_path, capsys):
    assert main(["model", "convert", str(model_file), str(tmp_path / "out.bin")]) == 2
    assert "must end in .safetensors" in capsys.readouterr().err

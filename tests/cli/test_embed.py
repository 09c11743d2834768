"""`streamer embed` writes what `Inference` gives, in each format."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamer import Inference
from streamer.cli import main

Clips = tuple[Path, Path, Path]


def read(path: Path) -> dict[str, Any]:
    """The same table from any of the formats; .npy has the embeddings alone."""
    if path.suffix == ".npz":
        with np.load(path) as file:
            return {name: file[name] for name in file.files}
    if path.suffix == ".npy":
        return {"embedding": np.load(path)}
    if path.suffix == ".json":
        rows = json.loads(path.read_text())["embeddings"]
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}
    with path.open(newline="") as file:
        header, *lines = csv.reader(file)
    assert header[:4] == ["path", "start", "end", "e0"]
    return {
        "path": np.array([line[0] for line in lines]),
        "start": np.array([float(line[1]) for line in lines]),
        "end": np.array([float(line[2]) for line in lines]),
        "embedding": np.array([[float(value) for value in line[3:]] for line in lines]),
    }


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".json", ".csv"])
def test_each_format_holds_one_row_a_file(clips, model_file, local_model, tmp_path, suffix):
    output = tmp_path / f"e{suffix}"
    assert main(["embed", *map(str, clips), "--model", str(model_file), "-o", str(output)]) == 0
    table = read(output)
    inference = Inference(local_model, window="whole")
    expected = np.concatenate([np.asarray(inference(path)) for path in clips])
    np.testing.assert_allclose(table["embedding"], expected, atol=1e-5)
    if suffix != ".npy":
        assert table["path"].tolist() == list(map(str, clips))
        np.testing.assert_allclose(table["start"], 0)
        np.testing.assert_allclose(table["end"], [2.5, 2.5, 2.0])
    if suffix == ".npz":
        assert table["fingerprint"] == local_model.fingerprint


def test_sliding_windows_are_rows_with_their_times(clips, model_file, tmp_path):
    output = tmp_path / "e.npz"
    options = ["--window", "sliding", "--duration", "1", "--step", "0.7", "-m", str(model_file), "-o", str(output)]
    assert main(["embed", *map(str, clips[1:]), *options]) == 0
    table = read(output)
    assert table["path"].tolist() == [str(clips[1])] * 4 + [str(clips[2])] * 3
    np.testing.assert_allclose(table["start"], [0, 0.7, 1.4, 2.1, 0, 0.7, 1.4])
    # The last windows of the two files are filled up with zeros, which are no part of the files.
    np.testing.assert_allclose(table["end"], [1, 1.7, 2.4, 2.5, 1, 1.7, 2.0])
    assert table["embedding"].dtype == np.float32


def test_without_an_output_file_json_goes_to_stdout(clips, model_file, local_model, capsys):
    assert main(["embed", str(clips[0]), "--model", str(model_file), "--device", "cpu"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["model"]["fingerprint"] == local_model.fingerprint
    assert len(result["embeddings"][0]["embedding"]) == local_model.dimension


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-o", "e.mat"], "use one of the endings .npz, .npy, .json, .csv"),
        (["--step", "1"], "are for --window sliding"),
        (["--window", "sliding", "--duration", "1", "--step", "2"], "step=2 s is longer than duration=1 s"),
        (["--device", "gpu"], "device='gpu' is not a device"),
        (["-o", "nowhere/e.npy"], "'nowhere/e.npy': there is no directory"),
    ],
    ids=str,
)
def test_options_that_cannot_work_are_named(
    clips,
    model_file,
    options,
    words,
    tmp_path,
    monkeypatch,
    capsys,
):
    monkeypatch.chdir(tmp_path)
    assert main(["embed", str(clips[0]), "--model", str(model_file), *options]) == 2
    assert words in capsys.readouterr().err

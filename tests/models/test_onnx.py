"""An ONNX file is a model wherever one is named: what it takes is read from its input, what is wrong is said."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from steps import deviation, noise, windows_of
from typer.testing import CliRunner

from streamer import IncrementalModel, Inference, Model
from streamer.cli import app as cli
from streamer.demo import ENROLMENT
from streamer.errors import CheckpointUnreadable, MissingDependency, WrongArchitecture
from streamer.models import checkpoint
from streamer.models.fbank import KaldiFilterBank

WIDTH, DIMENSION = 80, 7
WEIGHTS = np.random.default_rng(3).normal(0, 0.1, (WIDTH, DIMENSION)).astype(np.float32)


def written(path: Path, shape: list[int | str], *, rows: bool = True, **metadata: str) -> Path:
    """A file that takes `shape`, as rows of 80 numbers: embs = mean(relu(rows @ weights)); or gives all rows."""
    wanted = numpy_helper.from_array(np.array([0, -1, WIDTH]), "wanted")
    nodes = [
        helper.make_node("Reshape", ["heard", "wanted"], ["rows"]),
        helper.make_node("MatMul", ["rows", "weights"], ["frames"]),
        helper.make_node("Relu", ["frames"], ["kept"]),
    ]
    if rows:
        nodes.append(helper.make_node("ReduceMean", ["kept"], ["embs"], axes=[1], keepdims=0))
    name, output = ("embs", [shape[0], DIMENSION]) if rows else ("kept", [shape[0], "frames", DIMENSION])
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("heard", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, output)],
        [numpy_helper.from_array(WEIGHTS, "weights"), wanted],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, metadata)
    path.write_bytes(model.SerializeToString())
    return path


def plain(rows: np.ndarray) -> np.ndarray:
    return np.maximum(rows.reshape(-1, WIDTH) @ WEIGHTS, 0).mean(0)


BANDS = ["batch", "frames", WIDTH]
WAVES: list[list[int | str]] = [["batch", "samples"], ["batch", 1, "samples"], [1, "samples"], [1, 1, "samples"]]


@pytest.mark.parametrize("shape", WAVES, ids=str)
def test_a_file_that_takes_waveforms_gets_them(tmp_path, shape):
    model, samples = Model.from_pretrained(written(tmp_path / "waves.onnx", shape)), noise(1.0)

    found = model(torch.from_numpy(np.stack([samples, samples[::-1].copy()]))[:, None]).numpy()

    np.testing.assert_allclose(found, [plain(samples), plain(samples[::-1])], atol=1e-6)
    assert model.dimension == DIMENSION


def test_a_file_that_takes_bands_gets_kaldis_without_their_mean(tmp_path):
    model, samples = Model.from_pretrained(written(tmp_path / "bands.onnx", BANDS)), noise(1.0)

    bands = KaldiFilterBank(scale=32_768)(torch.from_numpy(samples)[None])[0].numpy()

    np.testing.assert_allclose(model(torch.from_numpy(samples)[None, None])[0].numpy(), plain(bands), atol=1e-5)


def test_samples_are_scaled_where_the_file_says_so(tmp_path):
    path = written(tmp_path / "whole.onnx", WAVES[0], sample_rate="16000", normalize_samples="0")
    model, samples = Model.from_pretrained(path), noise(1.0)

    found = model(torch.from_numpy(samples)[None, None])[0].numpy()

    assert deviation(found, 32_768 * plain(samples)) < 1e-5
    assert model.card.details["onnx"]["sample_rate"] == "16000"


def test_a_stream_gives_what_recordings_give(tmp_path):
    model, samples = Model.from_pretrained(written(tmp_path / "bands.onnx", BANDS)), noise(3.0)
    offline = Inference(model, duration=1.0, step=0.5)({"waveform": samples[None], "sample_rate": 16_000})

    windows = windows_of(IncrementalModel(model, speech="off").open((1.0,), 0.5).push(samples))

    complete = [window for window in windows if not window.partial]
    assert len(complete) == len(offline.data)
    for window, row in zip(complete, offline.data, strict=True):
        assert deviation(window.embedding, row) < 1e-5


def test_it_is_kept_in_a_file_of_ours(tmp_path):
    model, samples = Model.from_pretrained(written(tmp_path / "bands.onnx", BANDS)), torch.randn(1, 1, 16_000)
    checkpoint.save(tmp_path / "ours.safetensors", model, torch.float16)

    loaded = Model.from_pretrained(tmp_path / "ours.safetensors")

    assert loaded.fingerprint == model.fingerprint
    assert torch.equal(loaded(samples), model(samples))


def test_the_command_line_takes_it(tmp_path):
    path, voices = str(written(tmp_path / "bands.onnx", BANDS)), [str(voice) for voice in ENROLMENT.values()]

    def said(*arguments: str) -> str:
        result = CliRunner().invoke(cli.build(arguments[0]), list(arguments))
        assert result.exit_code in (0, 1), result.output
        return result.stdout

    facts = json.loads(said("model", "info", path, "--json"))
    assert (facts["family"], facts["dimension"]) == ("onnx", DIMENSION)
    assert facts["streaming"] == "each window is computed anew"
    found = json.loads(said("embed", voices[0], "--model", path))
    assert len(found["embeddings"][0]["embedding"]) == found["model"]["dimension"] == DIMENSION
    assert "similarity" in said("verify", voices[0], voices[1], "--model", path, "--threshold", "0.6")


@pytest.mark.parametrize(
    ("shape", "rows", "metadata", "message"),
    [
        (["batch", "frames", "what"], True, {}, "leaves open"),
        (["batch", 1, 1, "samples"], True, {}, r"takes heard \['batch', 1, 1, 'samples'\]"),
        (BANDS, False, {}, r"gives kept \[1, 98, 7\]"),
        (BANDS, True, {"sample_rate": "8000"}, "8000 Hz"),
        (["batch", "frames", 4 * WIDTH], True, {}, "at most 256"),
    ],
    ids=["unnamed", "an image", "frames", "rate", "wide"],
)
def test_a_file_of_another_kind_is_refused(tmp_path, shape, rows, metadata, message):
    with pytest.raises(WrongArchitecture, match=message):
        Model.from_pretrained(written(tmp_path / "other.onnx", shape, rows=rows, **metadata))


def test_bytes_that_are_no_onnx_are_refused(tmp_path):
    whole = written(tmp_path / "whole.onnx", BANDS).read_bytes()
    for content in (b"", b"not a network", whole[: len(whole) // 2]):
        (tmp_path / "bad.onnx").write_bytes(content)
        with pytest.raises(CheckpointUnreadable, match=r"bad\.onnx' is not a readable ONNX file"):
            Model.from_pretrained(tmp_path / "bad.onnx")


def test_without_onnxruntime_the_way_out_is_said(tmp_path, monkeypatch):
    path = written(tmp_path / "bands.onnx", BANDS)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependency, match=r"speaker-streamer\[onnx\]"):
        Model.from_pretrained(path)

"""A model that is exported gives the same embeddings in onnxruntime, for any length; what cannot be is refused."""

from __future__ import annotations

import copy

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, save

from streamer import IncrementalModel, Inference, Model
from streamer.cli import main
from streamer.demo import ENROLMENT
from streamer.errors import CheckpointError, ConfigurationError
from streamer.models import checkpoint, to_onnx
from streamer.models.card import ModelCard
from streamer.models.places import PACKAGED
from streamer.models.windows import WindowNetwork


@pytest.fixture(scope="module", params=PACKAGED)
def exported(request, tmp_path_factory):
    """The name of a model in this package, and the file that the command line made of it."""
    file = tmp_path_factory.mktemp("exported") / f"{request.param}.onnx"
    assert main(["export", request.param, "--onnx", str(file)]) == 0
    return request.param, file


def noise(samples: int, batch: int) -> torch.Tensor:
    return 0.1 * torch.randn(batch, 1, samples, generator=torch.Generator().manual_seed(samples))


def test_an_exported_file_is_the_model_wherever_one_is_named(exported, tmp_path, capsys):
    name, file = exported
    original, made = Model.from_pretrained(name), Model.from_pretrained(file)
    for seconds in (0.6, 3.0, 7.1):
        waves = noise(int(seconds * 16_000), 2)
        assert torch.cosine_similarity(original(waves), made(waves)).min() > 1 - 1e-5
    voice = str(next(iter(ENROLMENT.values())))
    one, two = (Inference(model, window="whole")(voice)[0] for model in (original, made))
    assert one @ two / np.linalg.norm(one) / np.linalg.norm(two) > 1 - 1e-5
    assert main(["embed", voice, "--model", str(file), "--output", str(tmp_path / "found.npz")]) == 0
    assert main(["export", name, "--onnx", str(file)]) == 2
    assert "--force" in capsys.readouterr().err


def test_the_command_says_how_far_from_torch_it_is(tmp_path, capsys):
    assert main(["export", "sincnet", "--onnx", str(tmp_path / "sincnet.onnx")]) == 0
    assert "torch's" in capsys.readouterr().out


def test_other_programs_run_it_for_any_number_and_length(exported):
    name, file = exported
    original = Model.from_pretrained(name)
    session = onnxruntime.InferenceSession(file)
    assert [(put.name, put.shape) for put in session.get_inputs()] == [("waveform", ["batch", 1, "samples"])]
    # In so little audio, a SincNet x-vector has two frames of logs of next to nothing.
    shortest = 8_000 if name == "sincnet" else original.minimum_samples
    for samples, batch in ((shortest, 1), (shortest, 2), (shortest + 1, 5), (16_000, 2), (22 * 16_000 + 5, 1)):
        waves = noise(samples, batch)
        (found,) = session.run(["embedding"], {"waveform": waves.numpy()})
        assert found.shape == (batch, original.dimension)
        assert torch.cosine_similarity(original(waves), torch.from_numpy(found)).min() > 1 - 1e-5


def test_it_has_the_network_alone(exported):
    name, file = exported
    original, made = Model.from_pretrained(name), Model.from_pretrained(file)
    assert original.card.licence != "unknown" and original.card.details
    assert (made.card.threshold, made.card.licence, made.card.details, made.cohort) == (None, "unknown", {}, None)


def test_of_cam_plus_plus_embeddings_are_a_ten_thousandth_apart(exported):
    name, file = exported
    if name == "sincnet":
        return
    original, made = Model.from_pretrained(name), Model.from_pretrained(file)
    for samples in (original.minimum_samples, 8_000, 48_000):
        one, two = (torch.nn.functional.normalize(model(noise(samples, 2))) for model in (original, made))
        assert (one - two).norm(dim=1).max() < 1e-4


def test_windows_of_a_stream_are_those_of_the_recording(exported):
    _, file = exported
    made, audio = Model.from_pretrained(file), noise(48_000, 1)[0, 0].numpy()
    offline = Inference(made, duration=1.0, step=1.0)({"waveform": audio[None], "sample_rate": 16_000})

    steps = IncrementalModel(made, speech="off").open((1.0,), 1.0).push(audio)

    found = [window.embedding for step in steps for window in step.windows if not window.partial]
    np.testing.assert_allclose(found, offline.data, atol=1e-4)


def test_both_kinds_of_norms_are_exported(any_model):
    _, difference = to_onnx.to_onnx(any_model)
    assert difference <= to_onnx.SINCNET.tolerance


def test_a_file_that_gives_something_else_is_not_kept(local_model, monkeypatch):
    other = Model(copy.deepcopy(local_model.network), local_model.card)
    with torch.no_grad():
        other.network.embedding.weight += 0.01 * torch.randn(other.network.embedding.weight.shape)
    assert (
        to_onnx.compared(local_model, local_model) <= to_onnx.SINCNET.tolerance < to_onnx.compared(local_model, other)
    )
    monkeypatch.setattr(to_onnx, "SINCNET", to_onnx.SINCNET._replace(tolerance=-1.0))
    with pytest.raises(CheckpointError, match="differ"):
        to_onnx.to_onnx(local_model)


def test_a_cam_plus_plus_of_ones_own_is_exported(campplus_past):
    _, difference = to_onnx.to_onnx(campplus_past)
    assert difference <= to_onnx.CAMPPLUS.tolerance


def test_what_cannot_be_exported_is_said(tmp_path, capsys):
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["feats"], ["embs"], axes=[1], keepdims=0)],
        "mine",
        [helper.make_tensor_value_info("feats", TensorProto.FLOAT, ["batch", "frames", 80])],
        [helper.make_tensor_value_info("embs", TensorProto.FLOAT, ["batch", 80])],
    )
    file, ours = tmp_path / "mine.onnx", tmp_path / "mine.safetensors"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), file)
    checkpoint.save(ours, Model.from_pretrained(file), torch.float32)
    for source in (file, ours):
        assert main(["export", str(source), "--onnx", str(tmp_path / "a.onnx")]) == 2
        assert "take that file" in capsys.readouterr().err
    assert main(["export", "sincnet", "--onnx", str(tmp_path / "a.pt")]) == 2
    assert sorted(tmp_path.iterdir()) == [file, ours]


def test_a_network_of_ones_own_is_told_of_torchs_exporter():
    layers = torch.nn.Sequential(torch.nn.Conv1d(1, 8, 400, 160), torch.nn.AdaptiveAvgPool1d(1), torch.nn.Flatten())
    mine = WindowNetwork(layers, dimension=8)
    with pytest.raises(ConfigurationError, match=r"SincNet x-vectors and CAM\+\+ are exported.*torch\.onnx\.export"):
        to_onnx.to_onnx(Model(mine, ModelCard("mine")))

"""CAM++ is 3D-Speaker's, number by number; of the past, it is the same however a recording is cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import seeded
import torch

from streamer.errors import CheckpointMismatch, WrongArchitecture
from streamer.models.campplus import network as module
from streamer.models.campplus.architecture import BLOCKS, CamPlusPlusArchitecture
from streamer.models.campplus.convert import MARK, folded
from streamer.models.campplus.network import CamPlusPlus, campplus_of
from streamer.models.carry import Carry
from streamer.models.model import Model

#: Of the original network on Kaldi's own filter bank; see make_campplus.py beside it.
RECORDED = np.load(Path(__file__).parents[2] / "golden" / "campplus.npz")


@pytest.mark.parametrize("num_samples", seeded.CAMPPLUS_SAMPLES)
def test_its_embeddings_are_those_of_the_original(campplus, num_samples):
    audio = torch.from_numpy(seeded.seeded_audio(num_samples))[None]

    found = campplus(audio)[0].numpy()

    # The weights are stored in half precision, which moves an embedding by more than the arithmetic does.
    recorded = RECORDED[str(num_samples)]
    assert np.abs(found - recorded).max() < 5e-3 * np.abs(recorded).max()
    assert found @ recorded / np.linalg.norm(found) / np.linalg.norm(recorded) > 0.99999


def original_tensors(seed: int = 0) -> dict[str, torch.Tensor]:
    """Tensors with the names and shapes of the original's, drawn."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> torch.Tensor:
        fan = int(np.prod(shape[1:])) if len(shape) > 1 else 1
        return torch.randn(shape, generator=generator) / fan**0.5

    tensors = {}

    def norm(name: str, channels: int, affine: bool = True) -> None:
        tensors[f"{name}.running_mean"] = 0.1 * drawn(channels)
        tensors[f"{name}.running_var"] = 1 + 0.5 * drawn(channels).tanh()
        tensors[f"{name}.num_batches_tracked"] = torch.tensor(1)
        if affine:
            tensors[f"{name}.weight"], tensors[f"{name}.bias"] = 1 + 0.1 * drawn(channels), 0.1 * drawn(channels)

    maps = [("head.conv1", "head.bn1", 1), ("head.conv2", "head.bn2", 32)]
    for layer in ("head.layer1", "head.layer2"):
        maps += [(f"{layer}.{part}.conv{n}", f"{layer}.{part}.bn{n}", 32) for part in (0, 1) for n in (1, 2)]
        tensors[f"{layer}.0.shortcut.0.weight"] = drawn(32, 32, 1, 1)
        norm(f"{layer}.0.shortcut.1", 32)
    for convolution, behind, inputs in maps:
        tensors[f"{convolution}.weight"] = drawn(32, inputs, 3, 3)
        norm(behind, 32)
    tensors["xvector.tdnn.linear.weight"] = drawn(128, 320, 5)
    norm("xvector.tdnn.nonlinear.batchnorm", 128)
    channels = 128
    for block, (layers, _) in enumerate(BLOCKS, 1):
        for layer in range(1, layers + 1):
            name = f"xvector.block{block}.tdnnd{layer}"
            norm(f"{name}.nonlinear1.batchnorm", channels)
            tensors[f"{name}.linear1.weight"] = drawn(128, channels, 1)
            norm(f"{name}.nonlinear2.batchnorm", 128)
            tensors[f"{name}.cam_layer.linear_local.weight"] = drawn(32, 128, 3)
            tensors[f"{name}.cam_layer.linear1.weight"], tensors[f"{name}.cam_layer.linear1.bias"] = (
                drawn(64, 128, 1),
                drawn(64),
            )
            tensors[f"{name}.cam_layer.linear2.weight"], tensors[f"{name}.cam_layer.linear2.bias"] = (
                drawn(32, 64, 1),
                drawn(32),
            )
            channels += 32
        norm(f"xvector.transit{block}.nonlinear.batchnorm", channels)
        tensors[f"xvector.transit{block}.linear.weight"] = drawn(channels // 2, channels, 1)
        channels //= 2
    norm("xvector.out_nonlinear.batchnorm", channels)
    tensors["xvector.dense.linear.weight"] = drawn(192, 2 * channels, 1)
    norm("xvector.dense.nonlinear.batchnorm", 192, affine=False)
    return tensors


def test_a_checkpoint_of_3d_speaker_is_read_as_it_is(tmp_path):
    tensors = original_tensors()
    torch.save(tensors, tmp_path / "campplus_cn_en_common.pt")

    model = Model.from_pretrained(tmp_path / "campplus_cn_en_common.pt")

    expected = CamPlusPlus()
    expected.load_state_dict(folded(tensors))
    audio = torch.from_numpy(seeded.seeded_audio(16_000))[None]
    torch.testing.assert_close(model(audio), expected.eval()(audio))
    # One layer by hand: what is folded in is the norm behind it.
    scale = tensors["head.bn1.weight"] / (tensors["head.bn1.running_var"] + 1e-5).sqrt()
    torch.testing.assert_close(
        expected.layers.front.first.weight, (tensors["head.conv1.weight"] * scale[:, None, None, None]).transpose(2, 3)
    )


def test_a_checkpoint_that_lacks_a_tensor_says_which(tmp_path):
    tensors = original_tensors()
    del tensors["xvector.transit2.linear.weight"]
    torch.save(tensors, tmp_path / "cut.pt")
    assert MARK in tensors

    with pytest.raises(CheckpointMismatch, match=r"transit2\.linear\.weight"):
        Model.from_pretrained(tmp_path / "cut.pt")


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_a_recording_of_the_past_is_the_same_in_any_blocks(campplus_past, at_once, monkeypatch):
    network, audio = campplus_of(campplus_past.network), torch.from_numpy(seeded.seeded_audio(32_000))[None]
    with torch.inference_mode():
        whole = network.frames(audio)
        monkeypatch.setattr(module, "AT_ONCE", at_once)
        cuts = network.frames(audio)

    assert whole.features.shape == (1, 512, network.architecture.grid.num_frames(32_000))
    torch.testing.assert_close(cuts.features, whole.features, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(cuts.attention, whole.attention, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(cuts.overlap, whole.overlap, atol=1e-4, rtol=1e-4)


def test_a_frame_of_the_past_waits_for_its_receptive_field_and_no_longer(campplus_past):
    network, grid = campplus_of(campplus_past.network), campplus_past.grid
    audio = torch.from_numpy(seeded.seeded_audio(32_000))[None]
    other = audio.clone()
    other[..., 16_000:] = 0
    unchanged = grid.end_frame(16_000)

    with torch.inference_mode():
        one, two = network.frames(audio).features, network.frames(other).features

    torch.testing.assert_close(one[..., :unchanged], two[..., :unchanged])
    assert (one[..., unchanged] - two[..., unchanged]).abs().max() > 1e-4


def test_of_the_past_a_gain_changes_little(campplus_past):
    audio = torch.from_numpy(seeded.seeded_audio(48_000))[None]
    loud, quiet = campplus_past(torch.cat([audio, 0.1 * audio]))
    assert torch.cosine_similarity(loud, quiet, 0) > 0.999


def test_what_a_coder_cuts_is_not_heard(campplus_past):
    """A band that nothing is heard of may be empty or full."""
    network = campplus_of(campplus_past.network)
    heard = network.layers.heard.bool()
    rows = network.bank(torch.from_numpy(seeded.seeded_audio(48_000))).transpose(0, 1)
    cut = rows.clone()
    cut[..., ~heard] = -15.9

    def embed(rows: torch.Tensor) -> torch.Tensor:
        hops = len(rows) // 2
        carry = Carry(network.new_carry()[None], torch.tensor([hops]), hops)
        with torch.inference_mode():
            return network.layers(rows[: 2 * hops], module.Past(carry))

    assert 0 < (~heard).sum() < 10
    torch.testing.assert_close(embed(cut), embed(rows))


def test_a_state_is_small(campplus_past):
    assert campplus_of(campplus_past.network).new_carry().nbytes < 150_000


@pytest.mark.parametrize("values", [{"context": "future"}, {"heard_hz": 20}, {"dimension": 0}, {"depth": 3}])
def test_what_is_not_known_is_refused(values):
    with pytest.raises(WrongArchitecture, match=next(iter(values))):
        CamPlusPlusArchitecture.from_dict(values)

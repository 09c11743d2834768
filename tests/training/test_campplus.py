"""Training the CAM++ of the past: the student is the network that is shipped, and its gradient is right."""

from __future__ import annotations

import copy
import csv

import numpy as np
import pytest
import seeded
import soundfile
import torch
import torch.nn.functional as F

from streamer.errors import ConfigurationError
from streamer.models.campplus.network import campplus_of
from streamer.models.campplus.surroundings import FRAMES_EXPECTED, FRAMES_REMEMBERED
from streamer.training.campplus.disturbance import Disturbance, mu_law
from streamer.training.campplus.losses import pooled
from streamer.training.campplus.pieces import Pieces
from streamer.training.campplus.run import begin, rate_at, train
from streamer.training.campplus.student import dense_block, student_frames
from streamer.training.campplus.within import apply, hear, normalisation


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """Three voices of their own files, one in a pack, and noise."""
    folder = tmp_path_factory.mktemp("speech")
    (folder / "pack").mkdir()
    rows = []
    for number in range(3):
        soundfile.write(folder / f"{number}.wav", seeded.seeded_audio(90_000)[0] * 0.5, 16_000)
        rows.append([f"{number}.wav", "train", "own", f"speaker{number}"])
    soundfile.write(folder / "noise.wav", np.random.default_rng(0).standard_normal(150_000) * 0.01, 16_000)
    rows.append(["noise.wav", "noise", "own", ""])
    soundfile.write(folder / "pack" / "one.wav", seeded.seeded_audio(160_000)[0], 16_000)
    for path, header, lines in (
        ("manifest.csv", ["path", "split", "corpus", "speaker"], rows),
        (
            "pack/index.csv",
            ["shard", "start_sample", "samples", "corpus", "speaker"],
            [["one.wav", 1_000, 70_000, "packed", "a"], ["one.wav", 80_000, 20_000, "packed", "b"]],
        ),
    ):
        with (folder / path).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *lines])
    return folder


def test_what_learns_is_what_is_shipped(campplus_past):
    network = campplus_of(campplus_past.network)
    audio = torch.from_numpy(seeded.seeded_audio(32_080))
    # As a stream hears it: the first row has silence before the stream in it.
    rows = network.bank(F.pad(audio, (160, 0)))

    with torch.inference_mode():
        found = student_frames(network, rows[:, : rows.shape[1] // 2 * 2])
        shipped = network.frames(audio[None])

    torch.testing.assert_close(found.permute(1, 2, 0), shipped.features, atol=1e-4, rtol=1e-4)
    # Whether more than one speaks is learned apart.
    alone = network.frames_of(found)
    torch.testing.assert_close(pooled(network, found), network.pool(alone), atol=1e-4, rtol=1e-4)


def test_the_gradient_is_that_of_the_plain_layers(campplus_past):
    network = campplus_of(campplus_past.network)
    layers = [network.layers.blocks[1][number] for number in range(3)]  # type: ignore[index]
    tensors = [tensor for layer in layers for tensor in layer.parameters()]
    block = torch.randn(70, 2, 256, requires_grad=True)
    aim = torch.randn(70, 2, 256 + 3 * 32)

    def plain() -> torch.Tensor:
        ago = torch.arange(70)[:, None] - torch.arange(70)
        kept = torch.exp(-ago.clamp(min=0) / FRAMES_REMEMBERED).tril()
        begun = FRAMES_EXPECTED * torch.exp(-(torch.arange(70) + 1) / FRAMES_REMEMBERED)[:, None, None]
        count = kept.sum(1)[:, None, None] + begun
        grown = block
        for layer in layers:
            active = torch.addcmul(layer.activation.shift, grown, layer.activation.scale).relu()
            inner = layer.inner(active).relu()
            seen = 2 * (torch.einsum("ts,sbc->tbc", kept, inner) + begun * layer.expected) / count
            gate = layer.excite(layer.squeeze(seen).relu()).sigmoid()
            before = F.pad(inner, (0, 0, 0, 0, layer.dilation, 0))[:70]
            local = inner @ layer.taps[..., 1].t() + before @ layer.taps[..., 0].t()
            grown = torch.cat([grown, local * gate], 2)
        return grown

    for tensor in tensors:
        tensor.requires_grad_(True)
    try:
        found, expected = dense_block(block, layers), plain()
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
        ours = torch.autograd.grad((found * aim).sum(), [block, *tensors])
        theirs = torch.autograd.grad((expected * aim).sum(), [block, *tensors])
    finally:
        for tensor in tensors:
            tensor.requires_grad_(False)

    for one, other in zip(ours, theirs, strict=True):
        assert (one - other).abs().max() <= 1e-4 * other.abs().max() + 1e-6


def test_pieces_are_cut_from_where_they_lie(speech):
    pieces = Pieces.load(speech, ["speaker0"], torch.device("cpu"))

    # b's piece is too short, and speaker0 is left out.
    assert sorted(pieces.length.tolist()) == [70_000, 90_000, 90_000]
    packed = int(pieces.start[pieces.length == 70_000])
    whole, _ = soundfile.read(speech / "pack" / "one.wav", dtype="int16")
    np.testing.assert_allclose(pieces.audio[packed : packed + 70_000], whole[1_000:71_000], atol=1)
    assert pieces.take(5, 64_400, torch.Generator().manual_seed(0)).shape == (5, 64_400)
    with pytest.raises(ConfigurationError, match="no piece"):
        Pieces.load(speech, ["own", "packed"], torch.device("cpu"))


def _pieces(lengths, speakers):
    """Pieces whose samples are all the piece's own number."""
    length = torch.tensor(lengths)
    audio = torch.arange(len(lengths)).repeat_interleave(length).to(torch.int16)
    return Pieces(audio, length.cumsum(0) - length, length, torch.tensor(speakers))


def test_the_windows_of_a_speaker_are_from_different_pieces():
    # Speaker 1 has one piece, 2 has two of which one is short; the last piece is nobody's.
    pieces = _pieces([90, 80, 100, 95, 100, 70, 100], [0, 0, 1, 0, 2, 2, -1])
    assert pieces.paired(80).tolist() == [0]
    assert pieces.paired(70).tolist() == [0, 2]

    found = pieces.take_speakers(20, 3, 80, torch.Generator().manual_seed(0)) * 32768

    assert found.shape == (20, 3, 80)
    assert torch.equal(found, found[..., :1].expand_as(found))
    assert all(sorted(windows) == [0, 1, 3] for windows in found[..., 0].tolist())
    # With two pieces, they take turns.
    found = pieces.take_speakers(40, 3, 70, torch.Generator().manual_seed(0))[..., 0] * 32768
    assert {frozenset(windows) for windows in found.tolist()} == {frozenset({0, 1, 3}), frozenset({4, 5})}


def _separation(embeddings):
    """How many deviations the cosines of the same and of different speakers lie apart; (speakers, windows, dim)."""
    unit = F.normalize(embeddings, dim=2).flatten(0, 1)
    speaker = torch.arange(len(embeddings)).repeat_interleave(embeddings.shape[1])
    left, right = torch.triu_indices(len(unit), len(unit), 1)
    cosines, same = (unit[left] * unit[right]).sum(1), speaker[left] == speaker[right]
    one, other = cosines[same], cosines[~same]
    return float((one.mean() - other.mean()) / ((one.var() + other.var()) / 2).sqrt())


def _voices(speakers, generator, dimension=24):
    """Embeddings that differ between speakers in their first half, and within speakers most in a few directions."""
    between = torch.cat([torch.ones(dimension // 2), 0.05 * torch.ones(dimension // 2)])
    within = torch.full((dimension,), 0.3)
    within[:4] = 3.0
    turned = torch.linalg.qr(torch.randn(dimension, dimension, generator=torch.Generator().manual_seed(1)))[0]
    voices = torch.randn(speakers, 1, dimension, generator=generator) * between
    return (voices + torch.randn(speakers, 4, dimension, generator=generator) * within) @ turned


def test_normalised_embeddings_tell_other_speakers_better_apart():
    generator = torch.Generator().manual_seed(0)
    matrix = normalisation([_voices(500, generator), _voices(500, generator)]).float()
    others = _voices(60, generator)

    assert _separation(others @ matrix) > 1.3 * _separation(others)
    assert (others @ matrix).norm(dim=2).mean() == pytest.approx(float(others.norm(dim=2).mean()), rel=0.05)
    assert torch.linalg.matrix_rank(matrix) == 20


def test_a_normalisation_becomes_part_of_the_network(campplus_past):
    network = copy.deepcopy(campplus_of(campplus_past.network))
    generator = torch.Generator().manual_seed(0)
    pieces = Pieces(
        (torch.randn(400_000, generator=generator) * 3000).to(torch.int16),
        *torch.tensor([[0, 100_000, 200_000, 300_000], [100_000] * 4, [0, 0, 1, 1]]),
    )
    noise = Disturbance(torch.randn(100_000, generator=generator), generator)
    assert [len(some) for some in hear(network, pieces, noise, generator, rounds=1)] == [8, 8]
    matrix = torch.randn(192, 192, generator=generator, dtype=torch.float64)

    apply(network, matrix)

    audio = torch.from_numpy(seeded.seeded_audio(48_000))[None]
    expected = campplus_past.network(audio).double() @ matrix
    torch.testing.assert_close(network(audio).double(), expected, atol=1e-3, rtol=1e-4)


def test_a_disturbance_stays_within_bounds_and_reaches_every_row():
    generator = torch.Generator().manual_seed(0)
    voices = torch.from_numpy(seeded.seeded_audio(48_000)).repeat(24, 1) * 0.1
    found = Disturbance(torch.randn(100_000, generator=generator), generator)(voices)

    assert found.shape == voices.shape
    assert torch.isfinite(found).all()
    assert found.abs().max() <= 1
    likeness = torch.cosine_similarity(found, voices)
    # Some are only louder, most are changed.
    assert (likeness < 0.99).sum() > 12


def test_mu_law_has_eight_bits_and_their_noise():
    wave = torch.from_numpy(seeded.seeded_audio(48_000))
    wave = wave / wave.abs().max()
    coded = mu_law(wave)
    assert len(coded.unique()) <= 255
    # G.711 keeps about 38 dB whatever the level is.
    for gain in (1.0, 0.1):
        rest = mu_law(gain * wave) - gain * wave
        assert 33 < 10 * torch.log10((gain * wave).square().mean() / rest.square().mean()) < 42


def test_the_rate_rises_and_settles():
    assert rate_at(0, 0, 1) < 0.05
    assert rate_at(100, 0, 1) == pytest.approx(1, abs=1e-3)
    assert rate_at(100, 1, 1) < 1e-4


def test_a_student_that_goes_on_measures_the_averages_of_speech_anew(campplus, campplus_past):
    teacher, voices = campplus_of(campplus.network), torch.from_numpy(seeded.seeded_audio(64_000)).view(2, 32_000)

    first = begin(teacher, voices).state_dict()
    second = begin(teacher, voices, copy.deepcopy(campplus_past)).state_dict()

    measured = [name for name in first if name.endswith((".expected", "layers.shape"))]
    assert len(measured) == 12 + 24 + 16 + 1
    # Its last layer may be normalised, and its lessons are in the teacher's space.
    torch.testing.assert_close(second["embedding.weight"], teacher.embedding.weight)
    for name in measured:
        assert first[name].abs().sum() > 0
        torch.testing.assert_close(second[name], first[name])


def test_a_run_is_kept_and_goes_on(speech, tmp_path, capsys):
    for _ in range(2):
        train(speech, tmp_path, minutes=0.002, device="cpu", batch=2, rate=1e-3, seed=0)

    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["step"] >= 2
    printed = capsys.readouterr().out
    assert "step 1 " in printed
    assert "not normalised: 0 speakers" in printed
    changed = [
        name
        for name, tensor in state["student"].items()
        if not torch.equal(tensor, state["average"][name]) and tensor.is_floating_point()
    ]
    assert changed

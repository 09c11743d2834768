"""From audio to error rates, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from streamer.cli import main
from streamer.errors import AudioTooShort
from streamer.evaluation.trials import windows
from streamer.evaluation.verification import embed_items, evaluate
from streamer.models.checkpoint import save


def spectral(waves: torch.Tensor) -> torch.Tensor:
    """A stand-in for a model: log energies in 16 bands."""
    spectrum = torch.fft.rfft(waves).abs().square()
    bands = torch.stack([band.mean(1) for band in spectrum.tensor_split(16, dim=1)], dim=1)
    return (bands + 1e-9).log()


def hum(pitch: float, seconds: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * 16_000)) / 16_000
    tone = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 8))
    return (0.1 * tone + 0.01 * rng.standard_normal(len(time))).astype(np.float32)


def test_items_of_mixed_lengths_are_embedded_as_if_each_were_alone():
    items = [hum(100 + 10 * i, length, i) for i, length in enumerate((1.0, 0.5, 1.0, 1.0, 0.75, 0.5))]

    together = embed_items(items, spectral, batch=2)

    alone = np.stack([spectral(torch.from_numpy(item)[None])[0].numpy() for item in items])
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-5)


def test_windows_of_an_item_are_averaged_and_short_items_are_one_window():
    items = [hum(120, 2.0, 0), hum(120, 0.6, 1)]

    found = embed_items(items, spectral, window_s=1.0)

    pieces = torch.from_numpy(items[0]).unfold(0, 16_000, 8_000)
    expected = torch.nn.functional.normalize(spectral(pieces), dim=1).mean(0)
    np.testing.assert_allclose(found[0], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[1], spectral(torch.from_numpy(items[1])[None])[0], rtol=1e-5)


def test_an_item_too_short_for_the_network_is_named(local_model):
    with pytest.raises(AudioTooShort, match=r"0\.10 s"):
        embed_items([np.zeros(1_600, np.float32)], lambda waves: local_model(waves.unsqueeze(1)))


def test_distinct_hums_are_told_apart():
    speakers = [[hum(90 * 1.25**i, 6, i)] for i in range(6)]
    items, trials = windows(speakers, 1.0, limit=5)

    result = evaluate(embed_items(items, spectral), trials, rounds=20)

    assert result.metrics["eer"].value < 0.05
    assert result.metrics["eer"].low <= result.metrics["eer"].value <= result.metrics["eer"].high
    assert result.summary()["trials"] == len(trials.left)


@pytest.fixture
def corpus(tmp_path, local_model):
    """A manifest, its audio, and a model file."""
    lines = ["path,split,corpus,speaker,language"]
    for speaker in range(4):
        for number in range(3):
            name = f"{speaker}-{number}.wav"
            soundfile.write(tmp_path / name, hum(90 * 1.3**speaker, 1.5, speaker * 10 + number), 16_000)
            lines.append(f"{name},{'dev' if speaker < 3 else 'train'},hums,{speaker % 3},en")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    (tmp_path / "trials.txt").write_text("1 0-0.wav 0-1.wav\n0 0-0.wav 1-0.wav\n")
    save(tmp_path / "model.safetensors", local_model)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], corpus: Path, *arguments: str) -> str:
    assert main(["evaluate", "verify", *arguments, "--model", str(corpus / "model.safetensors"), "--rounds", "5"]) == 0
    return capsys.readouterr().out


def test_the_command_measures_a_manifest(capsys, corpus):
    pytest.importorskip("matplotlib")
    manifest = ["--manifest", str(corpus / "manifest.csv"), "--split", "dev", "--duration", "1"]

    printed = run(capsys, corpus, *manifest, "--plots", str(corpus / "plots"), "--format", "json")

    found = json.loads(printed)["hums"]
    assert found["trials"] == 66 - 3 * 3  # 12 windows of three speakers, without 3 neighbours each
    assert 0 <= found["eer"]["low"] <= found["eer"]["value"] <= found["eer"]["high"] <= 1
    assert {path.name for path in (corpus / "plots").iterdir()} == {"det.png", "scores.png"}


def test_the_sides_of_a_trial_are_heard_under_their_own_conditions(capsys, corpus):
    manifest = ["--manifest", str(corpus / "manifest.csv"), "--split", "dev", "--duration", "1", "--format", "json"]

    def eer(*conditions: str) -> tuple[float, int]:
        found = json.loads(run(capsys, corpus, *manifest, *conditions))["hums"]
        return found["eer"]["value"], found["trials"]

    alike, once = eer()
    same, twice = eer("--condition", "clean", "--enrol-condition", "clean")
    apart, _ = eer("--condition", "clean", "--enrol-condition", "lowpass-300+noise=0")

    assert twice == 2 * once  # each pair both ways round
    assert same == pytest.approx(alike)
    assert apart > same


def test_the_command_says_what_conditions_do(capsys, corpus):
    model = ["--model", str(corpus / "model.safetensors"), "--rounds", "3"]
    command = ["evaluate", "conditions", "--manifest", str(corpus / "manifest.csv"), "--split", "dev"]

    assert main([*command, *model, "--duration", "1", "--condition", "lowpass-1000", "--format", "json"]) == 0

    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["clean", "lowpass-1000"]
    assert found["clean"]["hums"]["cosine_min"] == pytest.approx(1.0)
    assert found["lowpass-1000"]["hums"]["cosine_min"] <= found["lowpass-1000"]["hums"]["cosine_median"] < 0.999
    assert main([*command, *model, "--group", "nobody"]) == 2
    assert "no group ['nobody']" in capsys.readouterr().err
    assert main(["evaluate", "conditions", "--list"]) == 0
    assert "opus-BITS" in capsys.readouterr().out


def test_the_command_measures_a_trial_list(capsys, corpus):
    printed = run(capsys, corpus, str(corpus / "trials.txt"), "--root", str(corpus), "--condition", "telephone")

    assert "| all | 2 | 1 |" in printed


@pytest.mark.parametrize("scoring", ["as-norm", "plda"])
def test_the_command_scores_with_a_backend(capsys, corpus, scoring):
    manifest = ["--manifest", str(corpus / "manifest.csv"), "--split", "dev", "--duration", "1"]
    backend = ["--backend-manifest", str(corpus / "manifest.csv"), "--backend-split", "dev"]

    assert "| hums |" in run(capsys, corpus, *manifest, "--scoring", scoring, *backend)


def test_the_command_says_what_is_missing(capsys, corpus):
    assert main(["evaluate", "verify", "--split", "dev"]) == 2
    assert "trial list or --manifest" in capsys.readouterr().err
    assert main(["evaluate", "verify", "--manifest", str(corpus / "trials.txt")]) == 2
    assert "no column" in capsys.readouterr().err

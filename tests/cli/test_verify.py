"""`streamer verify` answers by text, by JSON and by exit code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cosine as scipy_cosine_distance

from streamer import Inference
from streamer.cli import main
from streamer.models import checkpoint

Clips = tuple[Path, Path, Path]

#: The seeded models' speech heads have learned nothing: any sound is compared.
ANY = ("--least-speech", "0")


def test_the_same_voice_is_the_same_speaker(clips, model_file, capsys):
    assert main(["verify", str(clips[0]), str(clips[1]), "--model", str(model_file), *ANY]) == 0
    assert "\nsame speaker (similarity >= 0.5000)" in capsys.readouterr().out


def test_below_the_threshold_speakers_are_different(clips, model_file, local_model, capsys):
    arguments = ["verify", str(clips[0]), str(clips[2]), "--model", str(model_file), "--json", *ANY]
    first, second = (np.asarray(Inference(local_model, window="whole")(clips[index]))[0] for index in (0, 2))
    similarity = 1 - scipy_cosine_distance(first, second)
    for threshold, code in ((similarity - 0.001, 0), (min(similarity + 0.001, 1), 1)):
        assert main([*arguments, "--threshold", str(threshold)]) == code
        result = json.loads(capsys.readouterr().out)
        assert result["same"] is (code == 0)
        assert result["similarity"] == pytest.approx(similarity, abs=1e-5)
        assert result["distance"] == pytest.approx(1 - similarity, abs=1e-5)
        assert result["threshold"] == pytest.approx(threshold)


def test_a_model_without_a_threshold_asks_for_one(clips, pyannote_model, tmp_path, capsys):
    path = tmp_path / "foreign.safetensors"
    checkpoint.save(path, pyannote_model)
    arguments = ["verify", str(clips[0]), str(clips[1]), "--model", str(path), *ANY]
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert "similarity  " in captured.out
    assert "records no decision threshold; give" in captured.err
    assert main([*arguments, "--threshold", "0.4"]) == 0


def test_a_missing_file_is_an_error_not_an_answer(clips, model_file, capsys):
    assert main(["verify", str(clips[0]), "none.wav", "--model", str(model_file)]) == 2
    assert "none.wav" in capsys.readouterr().err

import json
import math

import numpy as np
import pytest
import soundfile

from streamer.audio.chunks import SAMPLE_RATE as S
from streamer.cli import main
from streamer.evaluation.identification import identify
from streamer.evaluation.stream import FollowedRecording, diarisation_error, together
from streamer.speakers.profiles import Roster


def followed(reference, hypothesis, delays, known=("ada", "bob")):
    reference = [(a * S, b * S, who) for a, b, who in reference]
    hypothesis = [(a * S, b * S, who) for a, b, who in hypothesis]
    found = identify(reference, hypothesis, known)
    seconds = sum(end - start for start, end, _ in reference) / S
    return FollowedRecording("x", found, found, delays, 1, seconds, reference, hypothesis)


ONE = followed([(0, 4, "ada"), (5, 10, "bob")], [(0, 4, "ada"), (5, 10, "bob")], [0.5, 1.0])
OTHER = followed([(0, 1, "ada")], [(0, 1, "bob")], [math.inf])


def test_recordings_count_by_their_speech():
    report = together([ONE, OTHER])
    assert report.error == pytest.approx(0.1)
    assert report.wrong == pytest.approx(0.1)
    assert report.minutes == pytest.approx(10 / 60)
    assert report.flips_per_minute == pytest.approx(12.0)
    assert (report.delay_s, report.delay_p90_s, report.never) == (1.0, 1.0, pytest.approx(1 / 3))
    assert math.isnan(report.rejected)


def test_the_diarisation_error_does_not_mind_the_names():
    assert diarisation_error([OTHER]) == 0.0
    late = followed([(0, 4, "ada"), (4, 8, "bob")], [(0, 6, "x"), (6, 8, "y")], [])
    assert diarisation_error([ONE, late]) == pytest.approx(2 / 17)


@pytest.fixture
def manifest(tmp_path):
    """Four "speakers" of noise of different colours, six utterances each."""
    rng = np.random.default_rng(1)
    rows = ["path,speaker,split,corpus,language"]
    for speaker in range(4):
        for number in range(6):
            noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(2 * S)) * np.linspace(1, 0.1, S + 1) ** speaker)
            path = f"{speaker}-{number}.flac"
            soundfile.write(tmp_path / path, 0.1 * noise / np.abs(noise).max(), S)
            rows.append(f"{path},s{speaker},dev,made,en")
    file = tmp_path / "manifest.csv"
    file.write_text("\n".join(rows))
    return file


def test_the_command_reports_each_group_of_a_manifest(manifest, seeded_file, capsys):
    command = ["evaluate", "stream", "--manifest", str(manifest), "--count", "1", "--seconds", "12"]
    assert main([*command, "--model", seeded_file, "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)["made"]
    assert report["recordings"] == 1
    assert report["error"] == pytest.approx(report["wrong"] + report["missed"] + report["false_name"])
    assert main([*command, "--model", seeded_file]) == 0
    assert "shown error" in capsys.readouterr().out


def test_with_nobody_enrolled_all_are_strangers(manifest, seeded_file, capsys):
    command = ["evaluate", "stream", "--manifest", str(manifest), "--count", "1", "--seconds", "12"]
    reports = []
    for option in ([], ["--nobody-enrolled"]):
        assert main([*command, *option, "--model", seeded_file, "--format", "json"]) == 0
        reports.append(json.loads(capsys.readouterr().out)["made"])
    some, nobody = reports
    assert nobody["minutes"] == some["minutes"]  # the same conversation
    assert nobody["rejected"] == 1.0
    assert nobody["wrong"] == nobody["false_name"] == 0.0


def test_a_shared_channel_is_reported_by_where_the_enrolled_were_recorded(manifest, seeded_file, capsys):
    command = ["evaluate", "stream", "--manifest", str(manifest), "--count", "1", "--seconds", "12"]
    command += ["--channel", "shared", "--model", seeded_file, "--format", "json"]
    assert main([*command, "--condition", "mp3-32k", "--enrol-condition", "clean"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["made, same channel", "made, other channel"]
    assert main([*command, "--nobody-enrolled"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["made"]
    assert main(["evaluate", "stream", "--manifest", str(manifest), "--condition", "mp3-32k"]) == 2
    assert "--channel shared" in capsys.readouterr().err


def test_the_command_follows_recordings_with_a_reference(manifest, seeded_file, capsys, tmp_path):
    (tmp_path / "r.rttm").write_text("SPEAKER 0-0 1 0.2 1.5 <NA> <NA> ada <NA> <NA>\n")
    command = ["evaluate", "stream", str(tmp_path / "0-0.flac"), "--rttm", str(tmp_path / "r.rttm")]
    assert main([*command, "--model", seeded_file, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["recordings"]["minutes"] == pytest.approx(1.5 / 60)


def test_the_command_wants_one_kind_of_input(manifest, seeded_file, capsys):
    assert main(["evaluate", "stream", "--model", seeded_file]) == 2
    assert "either --manifest, or recordings with --rttm" in capsys.readouterr().err


@pytest.fixture(scope="module")
def seeded_file(tmp_path_factory):
    """A model whose embeddings mean nothing: the numbers only have to add up."""
    import torch

    from streamer.models import checkpoint
    from streamer.models.architecture import Architecture
    from streamer.models.model import Model, ModelCard
    from streamer.models.xvector import XVectorSincNet

    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("model") / "seeded.safetensors"
    network = XVectorSincNet(Architecture(front="log", norm="batch", dimension=64))
    checkpoint.save(path, Model(network, ModelCard("seeded")))
    return str(path)


def test_a_roster_of_nobody_scores_nobody():
    assert Roster.empty(8).scores(np.ones((3, 8))).shape == (3, 0)

"""Speech detection is measured frame by frame and stretch by stretch."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from streamer.audio.chunks import SAMPLE_RATE as S
from streamer.audio.files import read_audio
from streamer.cli import main
from streamer.demo import ENROLMENT
from streamer.engine.incremental import IncrementalModel
from streamer.evaluation.detection import auc, detect, listen
from streamer.evaluation.recordings import read_recordings
from streamer.models.model import Model
from streamer.speakers.settings import TrackerSettings


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """4 s of a voice between 3 s of faint noise on either side."""
    root = tmp_path_factory.mktemp("speech")
    noise = 1e-4 * np.random.default_rng(0).standard_normal(10 * S).astype(np.float32)
    noise[3 * S : 7 * S] += read_audio(next(iter(ENROLMENT.values()))).mono_16k()[: 4 * S]
    soundfile.write(root / "one.wav", noise, S)
    (root / "reference.rttm").write_text("SPEAKER one 1 3.0 4.0 <NA> <NA> a <NA> <NA>\n")
    return root


@pytest.mark.parametrize("speech", ["head", "silero"])
def test_what_is_called_speech_is_where_the_voice_is(folder, speech):
    engine = IncrementalModel(Model.from_pretrained("sincnet"), speech=speech)  # type: ignore[arg-type]
    heard, cost = listen(engine, read_recordings(folder))

    found = detect(heard, TrackerSettings())
    deaf = detect(heard, TrackerSettings(speech_onset=0.99999, speech_offset=0.9999, min_speech_s=3.0))

    assert found.seconds == pytest.approx(4.0)
    assert found.auc > 0.9 and found.missed < 0.15 and found.false_alarm < 0.2
    assert (deaf.missed, deaf.false_alarm) == (1.0, 0.0)
    assert cost > 0


def test_the_area_is_the_share_of_pairs_in_order():
    scores, positive = np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, True, False, True])

    assert auc(scores, positive) == (1 + 0.5 + 1 + 1) / 4
    assert np.isnan(auc(scores, np.ones(4, bool)))


def test_the_command_has_a_row_for_each_detector_and_threshold(folder, capsys):
    def detectors(*options: str) -> list[str]:
        assert main(["evaluate", "speech", str(folder), *options]) == 0
        rows = capsys.readouterr().out.splitlines()[2:]
        return [row.split("|")[1].strip().split(", ")[1] for row in rows]

    thresholds = ["--onset", "0.3", "--onset", "0.5"]
    assert detectors("--model", "sincnet", *thresholds) == ["head", "head", "silero", "silero"]
    assert detectors(*thresholds) == ["silero", "silero"]  # the default model has no head

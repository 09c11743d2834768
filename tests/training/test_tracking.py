"""The search for the tracker's settings goes by conversations of voices that training left out."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamer.engine.incremental import IncrementalModel
from streamer.evaluation.conversations import Plan, Voices, converse
from streamer.evaluation.manifest import Utterance
from streamer.evaluation.stream import compute, together, track
from streamer.models.model import Model
from streamer.speakers.backend import Backend
from streamer.speakers.settings import TrackerSettings
from streamer.training.recipe import Data
from streamer.training.tracking import choose, cost, groups

RATE = 16_000


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight "speakers" of noise in two corpora, six utterances each; and a recording of nothing but noise."""
    root = tmp_path_factory.mktemp("corpora")
    rng = np.random.default_rng(0)
    rows = ["path,split,corpus,speaker,seconds,language"]
    for speaker in range(8):
        for number in range(6):
            path = f"{speaker}-{number}.wav"
            soundfile.write(root / path, 0.05 * rng.standard_normal(RATE), RATE)
            rows.append(f"{path},train,{'far' if speaker >= 4 else 'near'},s{speaker},3.0,en")
    soundfile.write(root / "noise.wav", 0.01 * rng.standard_normal(RATE), RATE)
    rows.append("noise.wav,noise,noise,-,1.0,-")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    return root / "manifest.csv"


def test_voices_are_those_held_out_and_those_of_corpora_left_out(manifest: Path) -> None:
    found = groups(Data(str(manifest), "", without=["far"], held_out_every=1))

    assert sorted(found["far"].speakers) == ["s4", "s5", "s6", "s7"]
    assert sorted(found["held out"].speakers) == ["s0", "s1", "s2", "s3"]
    assert len(found["far"].noise) == RATE


@pytest.fixture
def voices(tmp_path: Path) -> Voices:
    """The bundled voices, each cut into five utterances."""
    utterances = []
    for name in ("angus", "brian", "carol"):
        samples, rate = soundfile.read(str(resources.files("streamer.demo") / f"{name}.ogg"))
        for number, piece in enumerate(np.array_split(samples, 5)):
            soundfile.write(tmp_path / f"{name}-{number}.wav", piece, rate)
            utterances.append(Utterance(f"{name}-{number}.wav", name))
    return Voices.of(tmp_path, utterances, np.zeros(0, np.float32))


def test_the_search_keeps_what_follows_conversations_better(voices: Voices) -> None:
    model = Model.from_pretrained("default")
    computed = [compute(IncrementalModel(model), converse(voices, Plan(seconds=20.0, enrolment_s=6.0), 3), 0.5)]
    # Nothing on earth is named with these: any other value follows better.
    worst = TrackerSettings(evidence_s=1000.0)

    def judged(settings: TrackerSettings) -> float:
        return cost([together([track(one, model, Backend.of(model), settings) for one in computed])])

    found = choose({"voices": computed}, model, worst, {"evidence_s": (1000.0, 0.3), "stay_s": (8.0,)})

    assert found.evidence_s == 0.3
    assert judged(found) < judged(worst)

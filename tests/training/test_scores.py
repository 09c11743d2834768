"""The cohort and the calibration made anew, of any weights, from speech in files and in shards."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch

from streamer.audio.chunks import SAMPLE_RATE as S
from streamer.audio.files import read_audio
from streamer.demo import ENROLMENT
from streamer.evaluation.manifest import read_manifest
from streamer.models.model import Model
from streamer.speakers.backend import Backend, Cohort
from streamer.training import scores
from streamer.training.packed import Clip, clips_of


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """The bundled voices as pieces of one shard, one piece of nobody, and noise."""
    root = tmp_path_factory.mktemp("speech")
    (root / "pack").mkdir()
    rows, shard, position = ["shard,start_sample,samples,corpus,speaker"], [], 0
    for name, path in ENROLMENT.items():
        for piece in np.array_split(read_audio(path).mono_16k()[: 15 * S], 5):
            rows.append(f"one.flac,{position},{len(piece)},librispeech,{name}")
            shard.append(piece)
            position += len(piece)
    rows.append(f"one.flac,0,{S},librispeech,")
    soundfile.write(root / "pack" / "one.flac", np.concatenate(shard), S)
    (root / "pack" / "index.csv").write_text("\n".join(rows) + "\n")
    soundfile.write(root / "noise.wav", 0.01 * np.random.default_rng(0).standard_normal(5 * S), S)
    soundfile.write(root / "ada.wav", shard[0], S)
    lines = ["path,split,corpus,speaker,seconds,language", "ada.wav,train,single,ada,3.0,en"]
    (root / "manifest.csv").write_text("\n".join([*lines, "noise.wav,noise,noise,-,5.0,-"]) + "\n")
    return root / "manifest.csv"


@pytest.fixture(scope="module")
def model():
    return Model.from_pretrained("sincnet")


def test_a_piece_of_a_shard_is_where_the_index_says(manifest):
    found = clips_of(manifest, read_manifest(manifest, "train"))

    assert {corpus: {name: len(some) for name, some in by.items()} for corpus, by in found.items()} == {
        "librispeech": dict.fromkeys(ENROLMENT, 5),
        "single": {"ada": 1},
    }
    whole, _ = soundfile.read(manifest.parent / "pack" / "one.flac", dtype="float32")
    clip = found["librispeech"]["brian"][1]
    plain = Clip(clip.path, clip.start, clip.samples).read()
    np.testing.assert_array_equal(plain, whole[clip.start : clip.start + clip.samples])
    # Each speaker is heard at a speed of their own, one that training does not use.
    assert clip.speed in (0.95, 1.05)
    assert len(clip.read()) == pytest.approx(clip.samples / clip.speed, abs=2)


def test_a_cohort_has_every_voice_over_every_kind_of_channel(model, manifest):
    voices = clips_of(manifest, [])["librispeech"]
    noise = np.random.default_rng(0).standard_normal(5 * S).astype(np.float32)

    cohort = scores.cohort_of(model, voices, noise)

    assert cohort.shape == (3 * len(scores.KINDS), model.dimension)
    again = scores.cohort_of(model, voices, noise)
    np.testing.assert_allclose(cohort, again, atol=1e-5)
    # Over a telephone, strangers are more alike than one voice is like itself as it was recorded.
    narrow, recorded = cohort[3::4], cohort[0::4]
    unit = lambda rows: rows / np.linalg.norm(rows, axis=1, keepdims=True)  # noqa: E731
    between = (unit(narrow) @ unit(narrow).T)[np.triu_indices(3, 1)].mean()
    across = np.diag(unit(narrow) @ unit(recorded).T).mean()
    assert between > across


def test_weights_come_out_as_they_were_with_a_backend_of_their_own(model, manifest, tmp_path, monkeypatch):
    monkeypatch.setattr(scores, "LEAST", 5)
    out = tmp_path / "made.safetensors"

    scores.main("sincnet", out, manifest, voices=10, conversations=2, seconds=30.0, seed=3, enrolled="both", keep=True)

    made = Model.from_pretrained(out)
    assert made.fingerprint == model.fingerprint
    assert model.cohort is not None and made.cohort is not None
    assert len(made.cohort) == len(model.cohort) + 3 * len(scores.KINDS)
    backend = Backend.of(made)
    assert isinstance(backend.cohort, Cohort) and backend.guests is not None
    assert made.card.details["tracking"] != model.card.details["tracking"]
    wave = torch.from_numpy(read_audio(next(iter(ENROLMENT.values()))).mono_16k()[None, None, : 3 * S])
    torch.testing.assert_close(made(wave), model(wave), atol=2e-2, rtol=0.0)  # weights are kept as float16

"""The decoded corpus and what is drawn from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import ConfigurationError
from streamer.evaluation.manifest import read_manifest
from streamer.models.architecture import Architecture
from streamer.models.xvector import XVectorSincNet
from streamer.training.data import STORED_DBFS, prepare
from streamer.training.hearing import HeardCorpus
from streamer.training.sampler import Sampler
from streamer.training.voices import voices_of


def test_every_utterance_is_there_at_every_speed_at_one_level(corpus, manifest):
    utterances = read_manifest(manifest, "train")

    assert len(corpus) == 2 * len(utterances)
    assert corpus.classes == 2 * len(corpus.speakers)
    for number, utterance in enumerate(utterances):
        original, _ = soundfile.read(manifest.parent / utterance.path, dtype="float32")
        for row, speed in ((number, 1.0), (number + len(utterances), 0.9)):
            wave = corpus.wave(row) / 32768
            assert len(wave) == int(len(original) / speed)
            assert 10 * np.log10(np.mean(wave**2)) == pytest.approx(STORED_DBFS, abs=0.1)
            assert corpus.speakers[corpus.speaker[row]] == utterance.speaker


def test_another_speed_moves_the_pitch(corpus):
    normal, slow = (corpus.wave(row, 0, 16_000).astype(float) for row in (2, 2 + len(corpus) // 2))

    peaks = [int(np.argmax(np.abs(np.fft.rfft(wave * np.hanning(len(wave)))))) for wave in (normal, slow)]

    assert peaks[1] / peaks[0] == pytest.approx(0.9, abs=0.02)


def test_a_prepared_folder_is_mapped_again(corpus, manifest):
    folder = Path(corpus.audio.filename).parent  # type: ignore[attr-defined]

    again = prepare(manifest.parent, [], [1.0, 0.9], folder)

    np.testing.assert_array_equal(again.audio, corpus.audio)
    assert again.speakers == corpus.speakers


def test_a_prepared_folder_of_other_voices_is_refused(corpus, manifest):
    folder = Path(corpus.audio.filename).parent  # type: ignore[attr-defined]

    with pytest.raises(ConfigurationError, match="2 voices of each speaker, but 5 are requested"):
        prepare(manifest.parent, [], [1.0, 0.9], folder, drawn=3)


def test_every_speaker_has_drawn_voices_of_its_own(manifest, tmp_path):
    utterances = read_manifest(manifest, "train")

    corpus = prepare(manifest.parent, utterances, [1.0], tmp_path, drawn=2, seed=5, workers=1)

    assert corpus.classes == 3 * len(corpus.speakers)
    assert sorted(set(corpus.label(np.arange(len(corpus))))) == list(range(corpus.classes))
    length = corpus.samples.reshape(3, -1)
    for number, utterance in enumerate(utterances):
        original, _ = soundfile.read(manifest.parent / utterance.path, dtype="float32")
        voices = voices_of(corpus.speakers.index(utterance.speaker), [1.0], 2, seed=5)
        assert length[:, number].tolist() == [int(len(original) / voice.speed) for voice in voices]
        for row, voice in zip(range(number, len(corpus), len(utterances)), voices, strict=True):
            changed = voice.of(original)
            kept = min(len(changed), int(corpus.samples[row]))
            assert np.corrcoef(corpus.wave(row, 0, kept), changed[:kept])[0, 1] > 0.999


@pytest.mark.parametrize("samples", [5_041, 16_000, 48_007])
def test_a_label_is_taken_at_the_middle_of_each_frame_of_the_network(samples):
    architecture = Architecture(front="log", norm="batch", dimension=8, attention=True, speech_head=True)

    speech = XVectorSincNet(architecture).eval().frames(torch.zeros(1, 1, samples)).speech

    assert speech is not None
    assert speech.shape[1] == architecture.grid.num_frames(samples)


def test_a_batch_is_decided_by_its_generator(sampler):
    once, twice = (sampler.draw(6, 1.2, np.random.default_rng(4)) for _ in range(2))

    torch.testing.assert_close(once.waves, twice.waves, rtol=0, atol=0)
    torch.testing.assert_close(once.target, twice.target, rtol=0, atol=0)
    assert once.label.tolist() == twice.label.tolist()


@given(seed=st.integers(0, 10_000), seconds=st.sampled_from([1.0, 2.0, 4.0, 6.0]))
def test_crops_of_any_length_are_drawn_whole(sampler, seed, seconds):
    batch = sampler.draw(3, seconds, np.random.default_rng(seed))

    assert batch.waves.shape == (3, seconds * 16_000)
    assert batch.waves.square().mean(1).min() > 1e-4  # no silence is added
    torch.testing.assert_close(batch.target.norm(dim=1), torch.ones(3))


def test_who_is_left_out_is_never_drawn(corpus, listener, targets, labels):
    sampler = Sampler(
        corpus, HeardCorpus(listener, targets), labels, Architecture().grid, 256, without=["b"], held_out_every=4
    )

    drawn = sampler.draw(200, 1.2, np.random.default_rng(0)).label.numpy() % len(corpus.speakers)

    assert sampler.held_out.tolist() == [0, 4]
    assert set(drawn) == {2}  # of corpus a: 0, 2 and 4


def test_the_target_of_a_crop_is_the_teachers_mean_over_its_partials(corpus, listener, targets, labels):
    sampler = Sampler(corpus, HeardCorpus(listener, targets), labels, Architecture().grid, 256, utterance_share=0.0)
    row = int(np.argmax(corpus.samples))
    first = sampler.first[row]

    found = sampler.target(row, listener.hop, listener.partial)

    assert found @ sampler.targets[first + 1] > 0.9 * np.linalg.norm(sampler.targets[first + 1])

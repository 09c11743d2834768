"""Labels from the speech detector, development sets, and the tables of the model card."""

from __future__ import annotations

import numpy as np
import pytest

from streamer.evaluation.verification import embedder
from streamer.training import speech, tables
from streamer.training.development import Development, pooled_threshold
from streamer.training.tables import error_rates, operating_points, speech_head


def test_every_row_has_its_labels_and_a_slower_one_the_same_stretched(corpus, tmp_path):
    labels = speech.label_corpus(corpus, tmp_path / "speech.npy")

    counts = speech.label_counts(corpus.samples)
    assert len(labels) == counts.sum()
    assert ((labels >= 0) & (labels <= 1)).all()
    longest = int(np.argmax(corpus.samples[: len(corpus) // 2]))
    normal, slow = (np.split(labels, np.cumsum(counts)[:-1])[row] for row in (longest, longest + len(corpus) // 2))
    assert len(slow) > len(normal)
    assert slow[0] == normal[0]
    assert slow[-1] == normal[-1]
    np.testing.assert_array_equal(speech.label_corpus(corpus, tmp_path / "speech.npy"), labels)


@pytest.fixture(scope="module")
def development(manifest, tmp_path_factory):
    return Development.from_manifest(manifest, tmp_path_factory.mktemp("dev") / "dev.npz", "train")


def test_development_sets_are_the_corpora_with_their_speakers_and_are_read_again(development, manifest, tmp_path):
    assert {name: len(speakers) for name, speakers in development.sets.items()} == {"a": 3, "b": 3}

    first, again = (Development.from_manifest(manifest, tmp_path / "dev.npz", "train") for _ in range(2))

    for name, speakers in development.sets.items():
        for mine, theirs, cached in zip(speakers, first.sets[name], again.sets[name], strict=True):
            np.testing.assert_array_equal(np.concatenate(theirs), np.concatenate(mine))
            np.testing.assert_array_equal(np.concatenate(cached), np.concatenate(mine))


def test_the_threshold_lies_within_the_scores_of_all_sets(development, local_model):
    found = development.scores(embedder(local_model.network), 1.0)

    scores = np.concatenate([values for values, _ in found.values()])
    assert scores.min() <= pooled_threshold(found) <= scores.max()


def test_the_tables_have_a_cell_for_every_set(development, local_model):
    rates = error_rates(development.sets, embedder(local_model.network), 1.0, "noise=20", rounds=5)

    assert rates.keys() == development.sets.keys()
    assert all(0 <= rate.value <= 1 for rate in rates.values())
    assert all(
        line.count("|") == 4 for line in operating_points({**development.sets}, embedder(local_model.network), 1.0)
    )


def test_the_speech_head_is_compared_with_the_detector_frame_by_frame(local_model, monkeypatch):
    wave = (0.1 * np.random.default_rng(0).standard_normal(25 * 16_000)).astype(np.float32)
    # In the detector's place, one that calls every other second speech.
    monkeypatch.setattr(tables, "speech_probabilities", lambda waves: [np.arange(750) // 31 % 2] * len(waves))

    lines = speech_head({"set": [[wave]]}, local_model, ["clean", "gain=-40"])

    # A gain cancels in the front end, so both rows must be the same.
    assert lines[2].replace("clean", "") == lines[3].replace("gain=-40", "")

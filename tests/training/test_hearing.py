"""A corpus as a teacher hears it: every partial once, kept, and read again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from streamer.errors import ConfigurationError
from streamer.training.hearing import hear_corpus


@pytest.fixture(scope="module")
def heard(corpus, attentive, tmp_path_factory):
    return hear_corpus(attentive, corpus, tmp_path_factory.mktemp("heard"), frame_voices=1)


def test_a_corpus_is_heard_partial_by_partial_and_short_rows_repeated(corpus, attentive, heard):
    counts = attentive.counts(corpus.samples)
    assert len(heard.embeddings) == counts.sum()
    teacher = attentive()
    for row in (0, int(np.argmax(corpus.samples))):  # the first is shorter than a partial
        last = (counts[row] - 1) * attentive.hop
        piece = np.resize(corpus.wave(row, last, last + attentive.partial), attentive.partial)
        expected, _ = teacher.hear(torch.from_numpy(piece / np.float32(32768))[None])
        found = heard.embeddings[counts[: row + 1].sum() - 1]
        np.testing.assert_allclose(found, expected[0].numpy(), rtol=2e-3)  # half precision


def test_frames_are_those_of_the_first_voices_partials(corpus, attentive, heard):
    counts = attentive.counts(corpus.samples)
    own = int(counts[corpus.voice == 0].sum())

    _, frames = attentive().hear(attentive.partials_of(corpus, np.arange(own)))

    assert heard.frames is not None
    values = heard.frames.values
    assert values.shape == (own, frames.shape[1], 128)
    # Components keep what matters of the distances between frames, in units of a frame's standard deviation.
    of_whole = (frames - frames.mean((0, 1))).square().sum(2).mean()
    for (one, other), (first, second) in [((3, 7), (5, 2)), ((0, own - 1), (0, 9))]:
        found = np.square(values[one, first].astype(float) - values[other, second]).sum()
        expected = (frames[one, first] - frames[other, second]).square().sum() / of_whole
        assert found == pytest.approx(float(expected), rel=0.05)


def test_what_was_heard_is_read_again(corpus, attentive, tmp_path):
    np.save(tmp_path / "attentive.npy", np.ones((2, 3), np.float16))

    assert hear_corpus(attentive, corpus, tmp_path).embeddings.shape == (2, 3)

    partials = int(attentive.counts(corpus.samples).sum())
    own = int(attentive.counts(corpus.samples[corpus.voice == 0]).sum())
    np.save(tmp_path / "attentive-frames.npy", np.ones((partials, 3, 4), np.float16))
    for voices, count in ((1, own), (2, partials)):
        again = hear_corpus(attentive, corpus, tmp_path, frame_voices=voices)
        assert again.embeddings.shape == (2, 3)
        assert again.frames is not None
        assert again.frames.values.shape == (count, 3, 4)


def test_frames_that_are_wanted_later_are_heard_then(corpus, attentive, heard, tmp_path):
    assert hear_corpus(attentive, corpus, tmp_path).frames is None
    some = hear_corpus(attentive, corpus, tmp_path, frame_voices=1)

    later = hear_corpus(attentive, corpus, tmp_path, frame_voices=2)

    assert some.frames is not None
    assert later.frames is not None
    assert len(some.frames.values) < len(later.frames.values) == len(later.embeddings)
    np.testing.assert_array_equal(later.embeddings, heard.embeddings)


def test_a_teacher_that_gives_no_frames_is_refused(corpus, listener, tmp_path):
    with pytest.raises(ConfigurationError, match="frame_voices"):
        hear_corpus(listener, corpus, tmp_path, frame_voices=1)

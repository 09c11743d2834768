"""silero-vad in batches against the package's own way of calling it, one stream and one chunk at a time."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.audio.chunks import SAMPLE_RATE as RATE
from streamer.speech.silero import CHUNK, SileroDetector, SileroState, speech_probabilities


@pytest.fixture(scope="module")
def detector():
    return SileroDetector()


@pytest.fixture(scope="module")
def spoken(voice):
    """Two seconds, half of them silent."""
    return np.concatenate([voice[0, :RATE], np.zeros(RATE, np.float32)])


@pytest.fixture(scope="module")
def expected(spoken):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from silero_vad import load_silero_vad

        network = load_silero_vad()
    chunks = [spoken[start : start + CHUNK] for start in range(0, len(spoken) - CHUNK + 1, CHUNK)]
    return np.array([network(torch.from_numpy(chunk), RATE).item() for chunk in chunks])


def known(state: SileroState) -> np.ndarray:
    return state.at(np.arange(state.heard) * CHUNK + state.start)


@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(0, 2 * RATE), max_size=6))
def test_any_chunking_gives_the_packages_probabilities(detector, spoken, expected, cuts):
    state = detector.new_state()

    edges = [0, *sorted(cuts), len(spoken)]
    for start, end in itertools.pairwise(edges):
        detector.hear([state], [spoken[start:end]])

    np.testing.assert_allclose(known(state), expected, atol=1e-5)


def test_recordings_of_any_lengths_have_the_packages_probabilities(spoken, expected):
    whole = len(spoken) // CHUNK
    cut = 20 * CHUNK + 100

    nothing, part, all_of_it = speech_probabilities([spoken[:0], spoken[:cut], spoken[: whole * CHUNK]])

    assert len(nothing) == 0
    assert len(part) == 21
    np.testing.assert_allclose(part[:20], expected[:20], atol=1e-5)
    np.testing.assert_allclose(all_of_it, expected, atol=1e-5)


def test_streams_of_a_batch_do_not_know_each_other(detector, spoken, expected):
    states = [detector.new_state() for _ in range(3)]

    detector.hear(states, [spoken[:100], spoken, spoken[:5000]])
    detector.hear([states[2], states[0]], [spoken[5000:], spoken[100:]])

    for state in states:
        np.testing.assert_allclose(known(state), expected, atol=1e-5)


def test_after_a_gap_it_begins_again(detector, spoken, expected):
    state = detector.new_state()
    detector.hear([state], [spoken[::-1].copy()])

    state.skip(123_456)
    detector.hear([state], [spoken])

    np.testing.assert_allclose(known(state), expected, atol=1e-5)


def test_its_state_goes_out_and_back(detector, spoken, expected):
    first, second = detector.new_state(), detector.new_state()
    detector.hear([first], [spoken[:7777]])

    second.restore(first.snapshot())
    detector.hear([second], [spoken[7777:]])

    np.testing.assert_allclose(known(second), expected, atol=1e-5)

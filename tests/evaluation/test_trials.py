"""Where trials come from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.audio.chunks import SAMPLE_RATE as SECOND
from streamer.evaluation.trials import all_pairs, parse_list, windows


def test_a_voxceleb_list_gives_pairs_and_the_paths_once_each():
    trials, paths = parse_list("1 a/x/1.wav a/x/2.wav\n0 a/x/1.wav b/y/1.wav\n\n")

    assert paths == ["a/x/1.wav", "a/x/2.wav", "b/y/1.wav"]
    assert trials.same.tolist() == [True, False]
    assert (trials.left.tolist(), trials.right.tolist()) == ([0, 0], [1, 2])
    assert trials.speaker.tolist() == [0, 0, 1]


@pytest.mark.parametrize("text", ["2 a b", "1 a", "1 a b c", "same a b"])
def test_a_line_that_is_no_trial_is_named_by_its_number(text):
    with pytest.raises(ValueError, match=r"line 2"):
        parse_list(f"1 a b\n{text}\n")


def test_an_empty_list_is_refused():
    with pytest.raises(ValueError, match="empty"):
        parse_list("\n")


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=2, max_size=20), st.integers(1, 3))
def test_every_pair_occurs_once_but_for_neighbours_of_one_speaker(items, apart):
    speaker, position = (np.array(column) for column in zip(*items, strict=True))

    trials = all_pairs(speaker, position, apart)

    expected = {
        (i, j)
        for i in range(len(items))
        for j in range(i + 1, len(items))
        if speaker[i] != speaker[j] or abs(position[i] - position[j]) >= apart
    }
    assert set(zip(trials.left.tolist(), trials.right.tolist(), strict=True)) == expected
    assert (trials.same == (speaker[trials.left] == speaker[trials.right])).all()


def test_windows_are_cut_from_the_joined_utterances_in_order():
    joined = np.arange(10 * SECOND, dtype=np.float32)
    speakers = [[joined[: 4 * SECOND], joined[4 * SECOND :]], [joined[: 2 * SECOND]]]

    items, trials = windows(speakers, 3.0, limit=8)

    assert [item[0] for item in items] == [0, 3 * SECOND, 6 * SECOND]  # 10 s hold three windows, 2 s none
    assert len(trials.left) == 1  # only the first and the third are 2 apart


def test_duration_0_takes_the_utterances_themselves():
    speakers = [[np.zeros(n, np.float32) for n in (5, 7, 9)], [np.zeros(3, np.float32)]]

    items, trials = windows(speakers, 0.0, limit=2)

    assert [len(item) for item in items] == [5, 7, 3]
    assert trials.same.tolist() == [True, False, False]

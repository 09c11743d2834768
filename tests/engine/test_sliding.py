"""Sliding moments against the plain definition: pool all frames of the window at once."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.engine.sliding import (
    FRAMES,
    HEADER,
    SPEECH,
    WEIGHT,
    WEIGHT2,
    CellPooling,
    Record,
    SlidingMoments,
    compiled,
    empty_record,
    merge_into,
)

CHANNELS = 3


def record_of(frames: np.ndarray, weights: np.ndarray) -> Record:
    """The plain definition, in float64."""
    record = np.zeros(HEADER + 2 * CHANNELS)
    if len(frames):
        mean = np.average(frames, axis=0, weights=weights)
        record[[WEIGHT, WEIGHT2, FRAMES, SPEECH]] = weights.sum(), (weights**2).sum(), len(frames), weights.sum()
        record[HEADER : HEADER + CHANNELS] = mean
        record[HEADER + CHANNELS :] = (weights[:, None] * (frames - mean) ** 2).sum(0)
    return record.astype(np.float32)


def cells(counts: list[int], seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Frames far from zero, where a sum of squares would cancel, with weights."""
    rng = np.random.default_rng(seed)
    return [(rng.normal(1000, 1, (n, CHANNELS)), rng.uniform(0.1, 1, n)) for n in counts]


def joined(run: list[tuple[np.ndarray, np.ndarray]]) -> Record:
    frames = np.concatenate([np.zeros((0, CHANNELS)), *[frames for frames, _ in run]])
    return record_of(frames, np.concatenate([np.zeros(0), *[weights for _, weights in run]]))


def assert_close(found: Record, expected: Record) -> None:
    np.testing.assert_allclose(found[: HEADER + CHANNELS], expected[: HEADER + CHANNELS], rtol=1e-6)
    np.testing.assert_allclose(found[HEADER + CHANNELS :], expected[HEADER + CHANNELS :], rtol=2e-3, atol=1e-2)


@given(counts=st.lists(st.integers(0, 6), min_size=1, max_size=30), length=st.integers(0, 8), seed=st.integers(0, 99))
@settings(deadline=None)
def test_the_last_cells_pool_as_if_at_once(counts: list[int], length: int, seed: int) -> None:
    sliding, heard = SlidingMoments(length, CHANNELS), cells(counts, seed)

    for index, (frames, weights) in enumerate(heard):
        sliding.push(record_of(frames, weights))

        found = empty_record(CHANNELS)
        sliding.add_to(found)
        assert_close(found, joined(heard[max(0, index + 1 - length) : index + 1] if length else []))


@given(counts=st.lists(st.integers(0, 5), min_size=1, max_size=20), delay=st.integers(1, 3), seed=st.integers(0, 99))
@settings(deadline=None)
def test_windows_of_two_lengths_hold_closed_and_open_cells(counts: list[int], delay: int, seed: int) -> None:
    pooling, heard = CellPooling((3, 5), delay, CHANNELS), cells(counts, seed)

    for index, (frames, weights) in enumerate(heard):
        pooling.merge(index, record_of(frames, weights))
        pooling.close(index + 1 - delay)

        for count, found in zip((3, 5), pooling.windows(), strict=True):
            assert_close(found, joined(heard[max(0, index + 1 - count) : index + 1]))


def test_a_cell_may_be_filled_in_pieces() -> None:
    (whole,) = cells([7], 0)
    pooling = CellPooling((2,), 1, CHANNELS)

    pooling.merge(0, record_of(whole[0][:3], whole[1][:3]))
    pooling.merge(0, record_of(whole[0][3:], whole[1][3:]))

    assert_close(pooling.windows()[0], record_of(*whole))


def test_after_a_gap_longer_than_any_window_nothing_of_before_is_left() -> None:
    pooling = CellPooling((4,), 1, CHANNELS)
    for index, (frames, weights) in enumerate(cells([3] * 6, 0)):
        pooling.merge(index, record_of(frames, weights))
        pooling.close(index)

    pooling.close(10**9)

    assert pooling.windows()[0].sum() == 0
    assert pooling.open == {}


def test_merging_nothing_changes_nothing() -> None:
    record = record_of(*cells([4], 1)[0])
    before = record.copy()

    merge_into(record, empty_record(CHANNELS))

    assert record == pytest.approx(before)


def test_a_function_is_compiled_where_nothing_can_be_kept_on_disk() -> None:
    # What a read-only package and a user without a home are to numba: no place beside the source, and none elsewhere.
    names: dict[str, object] = {}
    exec("def add(a, b): return a + b", names)
    with pytest.raises(RuntimeError, match="no locator"):
        numba.njit(cache=True)(names["add"])
    assert compiled(names["add"])(1, 2) == 3  # type: ignore[type-var]

"""Sliding moments against the plain definition: pool all frames of the window at once."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.audio.chunks import SAMPLE_RATE as RATE
from streamer.compiled import compiled
from streamer.engine.backbone import Hops
from streamer.engine.settings import WindowSettings
from streamer.engine.sliding import FRAMES, HEADER, SPEECH, WEIGHT, WEIGHT2, Record, empty_record, merge_into
from streamer.engine.slots.cells import Cells
from streamer.models.grid import FrameGrid

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


def cells_of(counts: list[int], seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Frames far from zero, where a sum of squares would cancel, with weights."""
    rng = np.random.default_rng(seed)
    return [(rng.normal(1000, 1, (n, CHANNELS)), rng.uniform(0.1, 1, n)) for n in counts]


def joined(run: list[tuple[np.ndarray, np.ndarray]]) -> Record:
    frames = np.concatenate([np.zeros((0, CHANNELS)), *[frames for frames, _ in run]])
    return record_of(frames, np.concatenate([np.zeros(0), *[weights for _, weights in run]]))


def assert_close(found: Record, expected: Record) -> None:
    np.testing.assert_allclose(found[: HEADER + CHANNELS], expected[: HEADER + CHANNELS], rtol=1e-6)
    np.testing.assert_allclose(found[HEADER + CHANNELS :], expected[HEADER + CHANNELS :], rtol=2e-3, atol=1e-2)


class Network:
    """What cells need to know of one whose frames are a second long, one after the other."""

    hops = Hops(FrameGrid(RATE, RATE), reads=RATE)
    channels, device = CHANNELS, torch.device("cpu")

    def new_memory(self, settings: WindowSettings) -> dict[str, torch.Tensor]:
        return {}


def pooled(cells: Cells, places: np.ndarray, ends: np.ndarray, new: list[Record], compiled: bool) -> np.ndarray:
    """The windows of streams whose step ends at these seconds, with a record of new frames in the second before."""
    pieces = np.zeros((len(places), 2, HEADER + 2 * CHANNELS), np.float32)
    first = np.where([record[FRAMES] > 0 for record in new], ends - 1, ends)
    splits = cells.place_frames(places, first, ends, RATE)
    for row, record in enumerate(new):
        pieces[row, 0 if ends[row] - 1 < splits[row] else 1] = record
    closing = cells.closing(places, ends * RATE)
    return cells.pool(torch.from_numpy(pieces), np.arange(len(places)), places, closing, compiled).numpy()


WAYS = pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "tensors"])


@WAYS
@given(
    counts=st.lists(st.integers(0, 6), min_size=1, max_size=30),
    lengths=st.sets(st.integers(1, 9), min_size=1, max_size=3),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=40)
def test_the_last_cells_pool_as_if_at_once(counts, lengths, seed, compiled):
    asked = tuple(sorted(lengths))
    cells, heard = Cells(WindowSettings(RATE, asked), Network()), cells_of(counts, seed)  # type: ignore[arg-type]
    # Two streams of the same windows, the second three steps behind.
    places = cells.slots.take(2)

    for index, (frames, weights) in enumerate(heard):
        behind = heard[index - 3] if index >= 3 else heard[0]
        own = [place for place, begins in zip(places, (0, 3), strict=True) if index >= begins]
        new = [record_of(frames, weights), record_of(*behind)][: len(own)]
        ends = np.array([index + 1, index - 2])[: len(own)]
        found = pooled(cells, np.array(own), ends, new, compiled)

        for windows, end in zip(found, ends, strict=True):
            for count, record in zip(asked, windows, strict=True):
                assert_close(record, joined(heard[max(0, end - count) : end]))


@WAYS
@given(runs=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 12)), min_size=1, max_size=6), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_steps_that_were_lost_are_cells_without_frames(runs, seed, compiled):
    cells, seconds = Cells(WindowSettings(RATE, (2, 5)), Network()), 0  # type: ignore[arg-type]
    places, heard = cells.slots.take(1), list[tuple[np.ndarray, np.ndarray]]()

    for length, lost in runs:
        for frames, weights in cells_of([3] * length, seed + seconds):
            seconds += 1
            heard.append((frames, weights))
            found = pooled(cells, places, np.array([seconds]), [record_of(frames, weights)], compiled)

            for count, record in zip((2, 5), found[0], strict=True):
                assert_close(record, joined(heard[-count:]))
        seconds += lost
        heard += cells_of([0] * lost, 0)


def test_after_a_gap_longer_than_any_window_nothing_of_before_is_left():
    cells = Cells(WindowSettings(RATE, (4,)), Network())  # type: ignore[arg-type]
    places = cells.slots.take(1)
    for index, (frames, weights) in enumerate(cells_of([3] * 6, 0)):
        pooled(cells, places, np.array([index + 1]), [record_of(frames, weights)], True)

    nothing = np.zeros((0, CHANNELS)), np.zeros(0)
    found = pooled(cells, places, np.array([10**9]), [record_of(*nothing)], True)

    assert not found.any()
    assert not cells.rows[0].numpy().any()


def test_merging_nothing_changes_nothing():
    record = record_of(*cells_of([4], 1)[0])
    before = record.copy()

    merge_into(record, empty_record(CHANNELS))

    assert record == pytest.approx(before)


def test_a_function_is_compiled_where_nothing_can_be_kept_on_disk():
    # What a read-only package and a user without a home are to numba: no place beside the source, and none elsewhere.
    names: dict[str, object] = {}
    exec("def add(a, b): return a + b", names)
    with pytest.raises(RuntimeError, match="no locator"):
        numba.njit(cache=True)(names["add"])
    assert compiled(names["add"])(1, 2) == 3  # type: ignore[type-var]

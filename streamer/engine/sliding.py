"""Sliding windows over pooled moments, at a constant cost a step whatever the window's length or overlap.

Frames are grouped into cells, one for each step of the stream: cell c holds the frames that begin in the c-th step. A
window is the last L whole cells and the frames after them. The moments of the last L cells come from two partial
aggregates, the suffixes of one epoch of L cells and the prefix of the next, so that each cell is merged three times in
all (van Herk, 1992; Gil & Werman, 1993, for any associative operation):
https://en.wikipedia.org/wiki/Prefix_sum#Sliding_windows has the idea for sums.

A record is one float32 row: [weight, weight2, frames, speech, mean (channels), m2 (channels)].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamer.engine.compiled import compiled
from streamer.models.pooling import EPSILON, Moments

Record = NDArray[np.float32]

WEIGHT, WEIGHT2, FRAMES, SPEECH, HEADER = 0, 1, 2, 3, 4


@compiled
def merge_into(record: Record, other: Record) -> None:
    """Add the frames of `other` to `record`: Chan, Golub & LeVeque's pairwise update."""
    if other[FRAMES] == 0:
        return
    channels = (len(record) - HEADER) // 2
    weight = record[WEIGHT] + other[WEIGHT]
    share = other[WEIGHT] / (weight + np.float32(EPSILON))
    between = record[WEIGHT] * share
    for i in range(HEADER):
        record[i] += other[i]
    for i in range(HEADER, HEADER + channels):
        delta = other[i] - record[i]
        record[i] += delta * share
        record[i + channels] += other[i + channels] + delta * delta * between


@compiled
def suffixes_in_place(cells: NDArray[np.float32]) -> None:
    """Turn cells (n, record) into the moments of cells[i:] each."""
    for i in range(len(cells) - 2, -1, -1):
        merge_into(cells[i], cells[i + 1])


def empty_record(channels: int) -> Record:
    return np.zeros(HEADER + 2 * channels, np.float32)


def moments_of(records: Record) -> Moments[NDArray[np.float32]]:
    """Records (..., record) as moments; views, no copies."""
    mean, m2 = np.split(records[..., HEADER:], 2, axis=-1)
    return Moments(records[..., WEIGHT : WEIGHT + 1], records[..., WEIGHT2 : WEIGHT2 + 1], mean, m2)


class SlidingMoments:
    """The moments of the last `length` cells pushed.

    `cells` (length, record) holds this epoch's cells up to `index`, and behind it the suffixes of the last epoch.
    """

    def __init__(self, length: int, channels: int) -> None:
        self.cells = np.zeros((length, HEADER + 2 * channels), np.float32)
        self.prefix = empty_record(channels)
        self.index = 0

    def push(self, cell: Record) -> None:
        if len(self.cells) == 0:
            return
        if self.index == len(self.cells):
            suffixes_in_place(self.cells)
            self.prefix[:] = 0
            self.index = 0
        self.cells[self.index] = cell
        merge_into(self.prefix, cell)
        self.index += 1

    def add_to(self, record: Record) -> None:
        """Merge the last `length` cells into `record`."""
        if self.index < len(self.cells):
            merge_into(record, self.cells[self.index])
        if len(self.cells):
            merge_into(record, self.prefix)

    def clear(self) -> None:
        self.cells[:] = 0
        self.prefix[:] = 0
        self.index = 0


class CellPooling:
    """Pools the frames of one stream into windows of several lengths that end with the steps.

    step_samples: the step. counts: lengths of the windows in steps. delay: how many steps a cell may stay open, because
    the last frames that begin in it end later. Windows and `merge` count cells from 0: cell c is the c-th step.
    """

    def __init__(self, counts: tuple[int, ...], delay: int, channels: int) -> None:
        self.delay = delay
        self.channels = channels
        self.sliding = [SlidingMoments(count - delay, channels) for count in counts]
        self.open: dict[int, Record] = {}
        self.first_open = 0

    def values(self) -> dict[str, Any]:
        return {
            "first_open": self.first_open,
            "open": sorted(self.open),
            "indices": [sliding.index for sliding in self.sliding],
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        arrays: dict[str, NDArray[Any]] = {f"open.{cell}": record for cell, record in self.open.items()}
        for place, sliding in enumerate(self.sliding):
            arrays[f"cells.{place}"], arrays[f"prefix.{place}"] = sliding.cells, sliding.prefix
        return arrays

    def restore(self, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        self.first_open = values["first_open"]
        self.open = {cell: arrays[f"open.{cell}"].copy() for cell in values["open"]}
        for place, (sliding, index) in enumerate(zip(self.sliding, values["indices"], strict=True)):
            sliding.cells[:] = arrays[f"cells.{place}"]
            sliding.prefix[:] = arrays[f"prefix.{place}"]
            sliding.index = index

    def merge(self, cell: int, record: Record) -> None:
        """Add frames that begin in the given cell, which must still be open."""
        if record[FRAMES] > 0:
            merge_into(self.open.setdefault(cell, empty_record(self.channels)), record)

    def close(self, before: int) -> None:
        """Close the cells before the given one: no more frames of theirs will come."""
        longest = max((len(sliding.cells) for sliding in self.sliding), default=0)
        if before - self.first_open > 2 * longest + len(self.open):
            # A gap longer than any window: nothing that was pooled counts any more.
            for sliding in self.sliding:
                sliding.clear()
            self.open = {cell: record for cell, record in self.open.items() if cell >= before}
            self.first_open = before
        empty = empty_record(self.channels)
        for cell in range(self.first_open, before):
            record = self.open.pop(cell, empty)
            for sliding in self.sliding:
                sliding.push(record)
        self.first_open = max(self.first_open, before)

    def windows(self) -> list[Record]:
        """One record a window length: its last whole cells and all frames of open cells."""
        records = []
        for sliding in self.sliding:
            record = empty_record(self.channels)
            sliding.add_to(record)
            for cell in sorted(self.open):
                merge_into(record, self.open[cell])
            records.append(record)
        return records

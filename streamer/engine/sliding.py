"""Sliding windows over pooled moments, at a constant cost per step, whatever the window's length or overlap.

Frames are grouped into cells, one for each step of the stream: cell c holds the frames that begin in step c. A window
consists of the last L whole cells and the frames after them. The moments of the last L cells come from two
partial aggregates, the suffixes of one epoch of L cells and the prefix of the next, so that each cell is merged three
times in all (van Herk, 1992; Gil & Werman, 1993, for any associative operation):
https://en.wikipedia.org/wiki/Prefix_sum#Sliding_windows describes the idea for sums.

A record is one float32 row: [weight, weight2, frames, speech, mean (channels), m2 (channels)]. The records of all
streams with the same windows are rows of one array, (slots, rows, record): first the open cell, then for each window
length its cells and their prefix. `index` is the number of cells in the current epoch; the suffixes of the last epoch
follow them. This module is for CPUs, and processes stream after stream in one compiled pass;
`streamer.engine.slots.moments` does the same with tensor operations.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamer.compiled import compiled
from streamer.models.pooling import EPSILON, Moments

Record = NDArray[np.float32]
Integers = NDArray[np.int64]

WEIGHT, WEIGHT2, FRAMES, SPEECH, HEADER = 0, 1, 2, 3, 4
#: The row of the open cell.
OPEN = 0


@compiled
def merge_into(record: Record, other: Record) -> None:
    """Add the frames of `other` to `record`: the pairwise update of Chan, Golub & LeVeque."""
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
def copy_into(record: Record, other: Record) -> None:
    for i in range(len(record)):
        record[i] = other[i]


@compiled
def merge_pieces(pieces: NDArray[np.float32], records: NDArray[np.float32]) -> None:
    """Merge pieces (streams, 2, record) into records (streams, record)."""
    for stream in range(len(pieces)):
        copy_into(records[stream], pieces[stream, 0])
        merge_into(records[stream], pieces[stream, 1])


@compiled
def suffixes_in_place(cells: NDArray[np.float32]) -> None:
    """Replace each of the cells (n, record) by the moments of cells[i:]."""
    for i in range(len(cells) - 2, -1, -1):
        merge_into(cells[i], cells[i + 1])


@compiled
def push(cells: NDArray[np.float32], prefix: Record, index: int, cell: Record) -> int:
    """Close one more cell, for a window of len(cells) > 0 whole cells. Returns the new index."""
    if index == len(cells):
        suffixes_in_place(cells)
        prefix[:] = 0
        index = 0
    copy_into(cells[index], cell)
    merge_into(prefix, cell)
    return index + 1


@compiled
def whole_window(last: Record, prefix: Record, cell: Record, record: Record) -> None:
    """Write the moments of all three into `record`, in one pass over the channels."""
    channels = (len(record) - HEADER) // 2
    epsilon = np.float32(EPSILON)
    inner = last[WEIGHT] + prefix[WEIGHT]
    share = prefix[WEIGHT] / (inner + epsilon)
    between = last[WEIGHT] * share
    share_of_cell = cell[WEIGHT] / (inner + cell[WEIGHT] + epsilon)
    between_cell = inner * share_of_cell
    for i in range(HEADER):
        record[i] = last[i] + prefix[i] + cell[i]
    means, squares = record[HEADER : HEADER + channels], record[HEADER + channels :]
    last_means, last_squares = last[HEADER : HEADER + channels], last[HEADER + channels :]
    prefix_means, prefix_squares = prefix[HEADER : HEADER + channels], prefix[HEADER + channels :]
    cell_means, cell_squares = cell[HEADER : HEADER + channels], cell[HEADER + channels :]
    for i in range(channels):
        delta = prefix_means[i] - last_means[i]
        mean = last_means[i] + delta * share
        delta_cell = cell_means[i] - mean
        means[i] = mean + delta_cell * share_of_cell
        inside = last_squares[i] + prefix_squares[i] + delta * delta * between
        squares[i] = inside + cell_squares[i] + delta_cell * delta_cell * between_cell


@compiled
def close_and_pool(
    pieces: NDArray[np.float32],
    rows: NDArray[np.float32],
    index: Integers,
    streams: Integers,
    places: Integers,
    lengths: Integers,
    pushes: Integers,
    own: Integers,
    forgotten: NDArray[np.bool_],
    passed: NDArray[np.bool_],
    records: NDArray[np.float32],
) -> None:
    """Add the new frames of streams whose step is complete to their cells, and pool their windows.

    pieces (batch, 2, record): for all streams of a batch, the new part of the open cell, and of the next one; `streams`
    (n,) selects rows of it. rows (slots, rows, record), index (slots, windows): the state of all streams; `places` (n,)
    selects rows of it. lengths (windows,): the number of whole cells in each. The other arguments, (n,), are those of
    `streamer.engine.slots.moments.Closing`. records (n, windows, record): the output.
    """
    empty = np.zeros(rows.shape[2], np.float32)
    for stream in range(len(places)):
        place, new = places[stream], pieces[streams[stream]]
        of_stream = rows[place]
        cell = of_stream[OPEN]
        merge_into(cell, new[0])
        if forgotten[stream]:
            of_stream[1:] = 0
            index[place] = 0
        for number in range(pushes[stream]):
            closed = cell if number == own[stream] else empty
            first = 1
            for window in range(len(lengths)):
                length = lengths[window]
                if length > 0:
                    cells, prefix = of_stream[first : first + length], of_stream[first + length]
                    index[place, window] = push(cells, prefix, index[place, window], closed)
                    first += length + 1
        if passed[stream]:
            copy_into(cell, new[1])
        else:
            merge_into(cell, new[1])
        first = 1
        for window in range(len(lengths)):
            length, record = lengths[window], records[stream, window]
            if length > 0:
                begun = index[place, window]
                last = of_stream[first + begun] if begun < length else empty
                whole_window(last, of_stream[first + length], cell, record)
                first += length + 1
            else:
                copy_into(record, cell)


@compiled
def to_statistics(
    records: NDArray[np.float32], chosen: Integers, epsilon: np.float32, statistics: NDArray[np.float32]
) -> None:
    """Mean and standard deviation side by side, (n, 2 * channels), of the records `chosen` (n,), as in
    `Moments.statistics`."""
    channels = statistics.shape[1] // 2
    floor = np.float32(EPSILON)
    for row in range(len(chosen)):
        record, means, deviations = records[chosen[row]], statistics[row, :channels], statistics[row, channels:]
        freedom = abs(record[WEIGHT] - record[WEIGHT2] / (record[WEIGHT] + floor) + floor)
        squares = record[HEADER + channels :]
        for i in range(channels):
            means[i] = record[HEADER + i]
            deviations[i] = np.sqrt(squares[i] / freedom + epsilon)


def empty_record(channels: int) -> Record:
    return np.zeros(HEADER + 2 * channels, np.float32)


def moments_of(records: Record) -> Moments[NDArray[np.float32]]:
    """Records (..., record) as moments; views, no copies."""
    middle = (HEADER + records.shape[-1]) // 2
    weight, weight2 = records[..., WEIGHT : WEIGHT + 1], records[..., WEIGHT2 : WEIGHT2 + 1]
    return Moments(weight, weight2, records[..., HEADER:middle], records[..., middle:])

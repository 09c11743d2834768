"""Winograd's F(4, 3) over the rows of maps: everything between two convolutions, in one compiled pass.

`windows` are the six rows of one tile, (bands, 6, 32): two preceding rows, and four of the tile itself.
All arrays are one-dimensional, because the compiler can then see that they do not overlap, and vectorises.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from streamer.compiled import compiled
from streamer.engine.campplus.maps import ROWS_BEFORE
from streamer.models.campplus.architecture import MAPS

Floats = NDArray[np.float32]

#: The number of a tile's own rows, and of all its rows with the two preceding ones, which is also the number of sums.
ROWS, SUMS = 4, 6
#: Values per pixel of a map, and of a tile. Numba computes a float32 times a Python number in float64.
PIXEL, TILE = MAPS, SUMS * MAPS
ZERO, TWO, FOUR, FIVE, EIGHT, INFINITE = (np.float32(number) for number in (0, 2, 4, 5, 8, np.inf))


def flat(tensor: Tensor) -> Floats:
    array: Floats = tensor.view(-1).numpy()
    return array


@compiled
def to_sums(windows: Floats, tiles: Floats) -> None:
    """Six rows of each band, (bands * 6 * 32,), to six sums; the last two rows move to the front."""
    for band in range(len(tiles) // TILE):
        p = band * TILE
        for c in range(p, p + PIXEL):
            a, b, d = windows[c], windows[c + 32], windows[c + 64]
            e, f, g = windows[c + 96], windows[c + 128], windows[c + 160]
            even, odd = f - FOUR * d, e - FOUR * b
            wide, far = f - d, TWO * (e - b)
            tiles[c] = FOUR * a - FIVE * d + f
            tiles[c + 32] = even + odd
            tiles[c + 64] = even - odd
            tiles[c + 96] = wide + far
            tiles[c + 128] = wide - far
            tiles[c + 160] = FOUR * b - FIVE * e + g
            windows[c], windows[c + 32] = f, g


@compiled
def from_sums(sums: Floats, bias: Floats, least: np.float32, windows: Floats) -> None:
    """Convert six convolved sums of each band to the tile's four rows, after the two preceding ones, clamped below at
    `least`."""
    for band in range(len(sums) // TILE):
        p = band * TILE
        for c in range(PIXEL):
            near = sums[p + 32 + c] + sums[p + 64 + c] + bias[c]
            nearer = sums[p + 32 + c] - sums[p + 64 + c] + bias[c]
            far = sums[p + 96 + c] + sums[p + 128 + c]
            farther = sums[p + 96 + c] - sums[p + 128 + c]
            windows[p + 64 + c] = max(sums[p + c] + near + far, least)
            windows[p + 96 + c] = max(nearer + TWO * farther, least)
            windows[p + 128 + c] = max(near + FOUR * far, least)
            windows[p + 160 + c] = max(nearer + EIGHT * farther + sums[p + 160 + c], least)


@compiled
def first_rows(heard: Floats, line: int, weight: Floats, bias: Floats, windows: Floats) -> None:
    """The first convolution: three rows of bands, in lines of `line`, to one row of 32 channels per band."""
    above, middle, below = heard[:line], heard[line : 2 * line], heard[2 * line : 3 * line]
    for band in range(line - 2):
        for c in range(PIXEL):
            total = bias[c]
            for tap in range(3):
                total += above[band + tap] * weight[tap * PIXEL + c]
                total += middle[band + tap] * weight[96 + tap * PIXEL + c]
                total += below[band + tap] * weight[192 + tap * PIXEL + c]
            windows[band * TILE + c] = max(total, ZERO)


@compiled
def put_row(line: Floats, windows: Floats) -> None:
    """Copy a row of a map (bands * 32,) into windows that begin at its place."""
    for band in range(len(line) // PIXEL):
        for c in range(PIXEL):
            windows[band * TILE + c] = line[band * PIXEL + c]


@compiled
def add_row(line: Floats, windows: Floats) -> None:
    """Add a row of a shortcut, then apply ReLU."""
    for band in range(len(line) // PIXEL):
        for c in range(PIXEL):
            windows[band * TILE + c] = max(windows[band * TILE + c] + line[band * PIXEL + c], ZERO)


@compiled
def take_row(windows: Floats, step: int, line: Floats) -> None:
    for band in range(len(line) // PIXEL):
        for c in range(PIXEL):
            line[band * PIXEL + c] = windows[band * step * TILE + c]


@compiled
def begin(
    stream: int, before: Floats, windows: Floats, around: Floats, step: int, line: int, thin: int, rows: int
) -> None:
    """Copy the rows that precede a stream's map into its windows and its map."""
    for row in range(ROWS_BEFORE):
        place, target = (stream * ROWS_BEFORE + row) * line, (stream * (ROWS_BEFORE + rows) + row) * thin
        if len(before):
            put_row(before[place : place + line], windows[row * PIXEL :])
        if len(around):
            take_row(windows[row * PIXEL :], step, around[target : target + thin])


@compiled
def give_row(
    stream: int,
    row: int,
    new: Floats,
    around: Floats,
    step: int,
    line: int,
    thin: int,
    rows: int,
    last: Floats,
    kept: int,
) -> None:
    """Store a finished row in its stream's map, and, from row `kept` on, in the stream's kept rows."""
    if len(around):
        target = (stream * (ROWS_BEFORE + rows) + ROWS_BEFORE + row) * thin
        take_row(new, step, around[target : target + thin])
    if len(last) and 0 <= row - kept < ROWS_BEFORE:
        target = (stream * ROWS_BEFORE + row - kept) * line
        take_row(new, 1, last[target : target + line])


@compiled
def first_tiles(
    heard: Floats,
    weight: Floats,
    bias: Floats,
    before: Floats,
    around: Floats,
    step: int,
    tiles: Floats,
    last: Floats,
    hops: NDArray[np.int64],
    streams: int,
    rows: int,
    bands: int,
) -> None:
    """The first map, its tiles, and the last rows of each stream.

    heard: rows of the filter bank, (streams, 2 + rows + padding to a whole tile, 1 + bands + 1).
    """
    count = (rows + ROWS - 1) // ROWS
    line, thin, wide = bands * PIXEL, bands // step * PIXEL, bands * TILE
    windows = np.zeros(wide, np.float32)
    for stream in range(streams):
        kept = 2 * hops[stream] - 2
        begin(stream, before, windows, around, step, line, thin, rows)
        for tile in range(count):
            for own in range(ROWS):
                row, new = tile * ROWS + own, windows[(ROWS_BEFORE + own) * PIXEL :]
                place = (stream * (ROWS_BEFORE + count * ROWS) + row) * (bands + 2)
                first_rows(heard[place:], bands + 2, weight, bias, new)
                if row < rows:
                    give_row(stream, row, new, around, step, line, thin, rows, last, kept)
            place = (stream * count + tile) * wide
            to_sums(windows, tiles[place : place + wide])


@compiled
def next_tiles(
    sums: Floats,
    bias: Floats,
    shortcut: Floats,
    before: Floats,
    around: Floats,
    step: int,
    tiles: Floats,
    last: Floats,
    hops: NDArray[np.int64],
    streams: int,
    rows: int,
    bands: int,
) -> None:
    """Every `step`-th band of the next map, its tiles, and the last rows of each stream. Empty outputs are skipped."""
    count = (rows + ROWS - 1) // ROWS
    line, thin, wide = bands * PIXEL, bands // max(step, 1) * PIXEL, bands * TILE
    windows = np.zeros(wide, np.float32)
    least = -INFINITE if len(shortcut) else ZERO
    for stream in range(streams):
        kept = 2 * hops[stream] - 2
        begin(stream, before, windows, around, step, line, thin, rows)
        for tile in range(count):
            place = (stream * count + tile) * wide
            from_sums(sums[place : place + wide], bias, least, windows)
            for own in range(min(ROWS, rows - tile * ROWS)):
                row, new = tile * ROWS + own, windows[(ROWS_BEFORE + own) * PIXEL :]
                if len(shortcut):
                    source = (stream * (ROWS_BEFORE + rows) + row) * line
                    add_row(shortcut[source : source + line], new)
                give_row(stream, row, new, around, step, line, thin, rows, last, kept)
            if len(tiles):
                to_sums(windows, tiles[place : place + wide])

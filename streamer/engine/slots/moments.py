"""Merges records and pools windows with tensor operations, for devices other than a CPU.

The host knows which rows are read and written, so it never waits for the device: it computes the indices of a whole
batch first, and sends them in one copy. The results equal those of `streamer.engine.sliding` up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamer.engine.sliding import FRAMES, HEADER, OPEN, WEIGHT, merge_pieces
from streamer.engine.slots.table import Numbers
from streamer.engine.slots.transfer import Upload
from streamer.models.pooling import EPSILON


@dataclass(frozen=True, slots=True)
class Closing:
    """The cells that close with the current step of each stream, (streams,) each.

    pushes: how many cells close. own: which of these is the open cell, counted from 0; -1 if none is. forgotten:
    everything pooled so far is older than the longest window. passed: the open cell closes, and the one after it
    becomes the open cell.
    """

    pushes: Numbers
    own: Numbers
    forgotten: NDArray[np.bool_]
    passed: NDArray[np.bool_]


def joined(one: Tensor, other: Tensor) -> Tensor:
    """Merge records (..., record) of disjoint frames: the pairwise update of Chan, Golub & LeVeque."""
    middle = (HEADER + one.shape[-1]) // 2
    weight = one[..., WEIGHT : WEIGHT + 1]
    share = other[..., WEIGHT : WEIGHT + 1] / (weight + other[..., WEIGHT : WEIGHT + 1] + EPSILON)
    apart = other[..., HEADER:middle] - one[..., HEADER:middle]
    header = one[..., :HEADER] + other[..., :HEADER]
    mean = torch.addcmul(one[..., HEADER:middle], apart, share)
    m2 = torch.addcmul(one[..., middle:] + other[..., middle:], apart.square_(), weight * share)
    both = torch.cat([header, mean, m2], -1)
    # A record without frames is ignored, even if it contains NaN.
    return torch.where(other[..., FRAMES : FRAMES + 1] > 0, both, one)


def whole_records(pieces: Tensor, compiled: bool) -> Tensor:
    """Merge each stream's two pieces, (streams, 2, record), into one record (streams, record)."""
    if not compiled:
        return joined(pieces[:, 0], pieces[:, 1])
    records = torch.empty(len(pieces), pieces.shape[2])
    merge_pieces(pieces.numpy(), records.numpy())
    return records


def suffixes(cells: Tensor) -> Tensor:
    """The moments of cells[:, i:] for each i, from cells (streams, n, record).

    Takes log2(n) rounds (Hillis & Steele, 1986).
    """
    reach = 1
    while reach < cells.shape[1]:
        cells = torch.cat([joined(cells[:, :-reach], cells[:, reach:]), cells[:, -reach:]], 1)
        reach *= 2
    return cells


def close_and_pool_on_device(
    pieces: Tensor,
    rows: Tensor,
    index: NDArray[np.int64],
    places: NDArray[np.int64],
    lengths: NDArray[np.int64],
    closing: Closing,
) -> Tensor:
    """The same as `streamer.engine.sliding.close_and_pool`; `index` stays on the host.

    pieces (n, 2, record): those of the streams in `places` (n,) alone. Returns the records (n, windows, record).
    """
    upload = Upload(rows.device)
    width = rows.shape[1]
    base = places * width
    bases, passed = upload.add(base), upload.add(closing.passed)
    forgotten = upload.add(places[closing.forgotten])
    index[places[closing.forgotten]] = 0
    rounds = [_round(upload, number, index, places, lengths, closing, width) for number in range(_most(closing.pushes))]
    begun = index[places]
    first = 1
    windows: list[tuple[int, int, int] | None] = []
    for window, length in enumerate(lengths):
        if length > 0:
            # If an epoch is complete there is no suffix: its last row is read instead, and replaced by zeros below.
            row = base + first + np.minimum(begun[:, window], length - 1)
            windows.append((upload.add(row), upload.add(begun[:, window] < length), upload.add(base + first + length)))
        else:
            windows.append(None)
        first += length + 1 if length > 0 else 0
    upload.send()

    flat = rows.view(-1, rows.shape[2])
    cell = joined(flat.index_select(0, upload[bases] + OPEN), pieces[:, 0])
    if closing.forgotten.any():
        rows.index_fill_(0, upload[forgotten], 0)
    for parts in rounds:
        _push(flat, cell, parts, upload)
    cell = torch.where(upload[passed].bool()[:, None], pieces[:, 1], joined(cell, pieces[:, 1]))
    flat.index_copy_(0, upload[bases] + OPEN, cell)
    records = []
    for places_of in windows:
        if places_of is None:
            records.append(cell)
            continue
        suffix, counts, prefix = (upload[part] for part in places_of)
        record = flat.index_select(0, suffix)
        record = torch.where(counts.bool()[:, None], record, torch.zeros_like(record))
        records.append(joined(joined(record, flat.index_select(0, prefix)), cell))
    return torch.stack(records, 1)


def _most(pushes: NDArray[np.int64]) -> int:
    return int(pushes.max(initial=0))


def _round(
    upload: Upload,
    number: int,
    index: NDArray[np.int64],
    places: NDArray[np.int64],
    lengths: NDArray[np.int64],
    closing: Closing,
    width: int,
) -> tuple[int, int, list[tuple[int, int, int, int, int]]]:
    """Close cell `number`, counted from 0, of each stream that closes more than that; returns places in the upload.

    They are those of: the streams; whether the cell is their open one; and for each window length the rows of complete
    epochs (a stream's rows side by side), the prefixes of these, the row for the closed cell, its prefix, and last the
    length itself.
    """
    streams = np.flatnonzero(closing.pushes > number)
    own = closing.own[streams] == number
    base, first, moves = places[streams] * width, 1, []
    for window, length in enumerate(lengths):
        if length <= 0:
            continue
        begun = index[places[streams], window]
        due = begun == length
        begun = np.where(due, 0, begun)
        over = (base[due, None] + first + np.arange(length)).ravel()
        moves.append(
            (
                upload.add(over),
                upload.add(base[due] + first + length),
                upload.add(base + first + begun),
                upload.add(base + first + length),
                int(length),
            )
        )
        index[places[streams], window] = begun + 1
        first += int(length) + 1
    return upload.add(streams), upload.add(own), moves


def _push(
    flat: Tensor, cell: Tensor, parts: tuple[int, int, list[tuple[int, int, int, int, int]]], upload: Upload
) -> None:
    streams, own, moves = parts
    closed = cell.index_select(0, upload[streams])
    closed = torch.where(upload[own].bool()[:, None], closed, torch.zeros_like(closed))
    for over, prefixes, target, prefix, length in moves:
        if len(upload[over]):
            cells = flat.index_select(0, upload[over]).view(-1, length, flat.shape[1])
            flat.index_copy_(0, upload[over], suffixes(cells).view(-1, flat.shape[1]))
            flat.index_fill_(0, upload[prefixes], 0)
        flat.index_copy_(0, upload[target], closed)
        flat.index_copy_(0, upload[prefix], joined(flat.index_select(0, upload[prefix]), closed))

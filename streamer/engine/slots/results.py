"""Hands out the results of a batch: a Step for each stream that completed one. Results of other streams are kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import SAMPLE_RATE
from streamer.engine.heard import HeardBatch
from streamer.engine.sliding import FRAMES, SPEECH, moments_of
from streamer.engine.slots.cells import Cells
from streamer.engine.slots.embedding import Embedding
from streamer.engine.slots.store import Store
from streamer.engine.slots.stream import CachedStream
from streamer.engine.slots.table import Numbers
from streamer.engine.slots.work import Work
from streamer.engine.stepper import StepTally, level_db, not_finite, reportable
from streamer.engine.window import Step, Window
from streamer.errors import StreamerError

Floats = NDArray[np.float32]
#: The column of overlap in the heads' outputs, after that of speech.
OVERLAP = 1


@dataclass(frozen=True, slots=True)
class BatchResults:
    """The results that were copied back from the device, for the streams of a `Work`.

    windows: for each kind, the streams whose step is complete, and the output of `Embedding.of` for their windows.
    blocks (streams, record): the moments of the new frames. kept: the streams that gained frames but are still within
    a step. pieces (kept, 2, record): the pieces of these. heads: one array (streams, frames, K) for each group of
    streams with new hops; empty if the heads' outputs were not requested.
    """

    windows: list[tuple[int, Numbers, Floats]]
    blocks: Floats
    kept: Numbers
    pieces: Floats
    heads: list[Floats]

    @classmethod
    def of(cls, kinds: list[tuple[int, Numbers]], back: list[Floats], kept: Numbers, groups: int) -> BatchResults:
        windows = [(kind, own, found) for (kind, own), found in zip(kinds, back, strict=False)]
        blocks, pieces, *heads = back[len(kinds) :]
        return cls(windows, blocks, kept, pieces, heads)

    def heads_of(self, work: Work) -> list[Floats]:
        """The heads' outputs for each stream's new frames, (frames, K); ones if they were not requested."""
        firsts, ends = (work.first - work.outputs).tolist(), (work.end - work.outputs).tolist()
        if not self.heads:
            ones = np.ones((max(ends, default=0), 1), np.float32)
            return [ones[first:end] for first, end in zip(firsts, ends, strict=True)]
        nothing = self.heads[0][0][:0]
        silent = len(work.order) - sum(map(len, self.heads))
        rows = [nothing] * silent + [row for group in self.heads for row in group]
        return [row[first:end] for row, first, end in zip(rows, firsts, ends, strict=True)]


def handed_out(
    store: Store, work: Work, heard: HeardBatch, computed: BatchResults, embedding: Embedding, detected: bool
) -> list[Step | StreamerError | None]:
    """The outcome of each block, in the blocks' order. Streams whose step is complete begin the next one."""
    clock, grid = store.streams.on_host, store.hops.grid
    windows: dict[int, list[Window]] = {}
    failed: set[int] = set()
    for kind, own, back in computed.windows:
        found, broken = _windows(store, work, heard, store.cells(kind), own, back, embedding)
        windows |= found
        failed.update(broken)
    heads = computed.heads_of(work)
    begun = set(work.among(store.begun).tolist())
    starts, first_frames = clock("start_sample")[work.slots].tolist(), clock("first_frame")[work.slots]
    told = np.where(work.gained, work.first, first_frames).tolist()
    levels = level_db(clock("energy")[work.slots], clock("heard")[work.slots]).tolist()
    partial, gained = (work.positions % work.steps != 0).tolist(), work.gained.tolist()
    order, positions = work.order.tolist(), work.positions.tolist()

    outcomes: list[Step | StreamerError | None] = [None] * len(order)
    for row in np.flatnonzero(work.complete).tolist():
        said, first, pooled = heads[row], told[row], gained[row]
        if row in begun:
            stream = heard.states[order[row]]
            tally = _tally(stream, first, said)
            said, first = np.concatenate(tally.heads) if tally.heads else said, tally.first_frame
            pooled = pooled or stream.pieces is not None
            stream.begun = stream.pieces = None
            store.note(int(work.slots[row]), stream)
        if row in failed:
            outcomes[order[row]] = not_finite(positions[row])
            continue
        outcomes[order[row]] = Step(
            starts[row],
            positions[row],
            tuple(windows[row]),
            grid,
            first,
            # Copies, because a view would keep the arrays of the whole batch in memory.
            said[:, 0].copy() if detected else None,
            moments_of(computed.blocks[row].copy()) if pooled else None,
            levels[row],
            partial[row],
            overlap=said[:, OVERLAP].copy() if said.shape[1] > OVERLAP else None,
        )
    _begin_next(store, work)
    for place, row in enumerate(computed.kept.tolist()):
        stream, slot = heard.states[order[row]], int(work.slots[row])
        stream.begun = _tally(stream, told[row], heads[row])
        stream.pieces = computed.pieces[place].copy()
        clock("first_frame")[slot] = stream.begun.first_frame
        store.note(slot, stream)
    return outcomes


def _tally(stream: CachedStream, first: int, said: Floats) -> StepTally:
    """The tally of a stream's current step, with the outputs `said` (frames, K) added from frame `first` on."""
    tally = stream.begun or StepTally(0, first)
    tally.add(first, said.copy())
    return tally


def _begin_next(store: Store, work: Work) -> None:
    clock, done = store.streams.on_host, work.complete
    slots = work.slots[done]
    clock("start_sample")[slots], clock("first_frame")[slots] = work.positions[done], work.end[done]
    clock("heard")[slots] = 0
    clock("energy")[slots] = 0


def _windows(
    store: Store,
    work: Work,
    heard: HeardBatch,
    cells: Cells,
    own: Numbers,
    back: Floats,
    embedding: Embedding,
) -> tuple[dict[int, list[Window]], list[int]]:
    """The reported windows of each stream whose step is complete, by row of the work; and the rows with an embedding
    that is not finite."""
    grid, settings = store.hops.grid, cells.settings
    counts, durations = np.array(settings.counts), np.array(settings.durations_s)
    positions, step = work.positions[own, None], settings.step_samples
    nominal = -(-(-(-positions // step) - counts) * step // grid.stride)
    frames, speech = back[:, :, FRAMES], back[:, :, SPEECH]
    last = np.maximum((positions - grid.receptive_field) // grid.stride + 1, 0)
    partial = (positions % step != 0) | (nominal < 0) | (frames < last - nominal)
    samples = grid.receptive_field + grid.stride * (frames - 1)
    speech_s = (speech / np.maximum(frames, 1)).astype(np.float64) * samples / SAMPLE_RATE
    reported = (frames >= embedding.minimum_frames) & reportable(partial, speech_s, durations)

    starts, ends = _used(store, work, heard, own, nominal, settings.counts[-1])
    embeddings = embedding.embedded(back, reported)
    windows: dict[int, list[Window]] = {row: [] for row in own.tolist()}
    rows, columns = np.nonzero(reported)
    told = (
        own[rows], starts[reported] * grid.stride, (ends[rows] - 1) * grid.stride + grid.receptive_field,
        durations[columns], speech_s[reported], partial[reported],
    )  # fmt: skip
    for found, row, start, end, duration_s, seconds, part in zip(
        embeddings, *(column.tolist() for column in told), strict=True
    ):
        windows[row].append(Window(start, end, duration_s, found.copy(), seconds, part))
    broken = ~np.isfinite(embeddings).all(1)
    return windows, own[rows[broken]].tolist()


def _used(
    store: Store, work: Work, heard: HeardBatch, own: Numbers, nominal: NDArray[np.int64], longest: int
) -> tuple[NDArray[np.int64], Numbers]:
    """The frames that windows contain: the first one at or after the nominal start of each, (streams, windows), and
    one past the last, (streams,). nominal (streams, windows): the first frame of a window without gaps."""
    ends = work.end[own].copy()
    run_first = store.streams.on_host("run_first")[work.slots[own], None]
    starts = np.where(ends[:, None] > nominal, np.maximum(run_first, nominal), nominal)
    if store.with_gaps:
        gapped = np.flatnonzero(np.isin(work.slots[own], list(store.with_gaps)))
        for place in gapped.tolist():
            row = own[place]
            stream = heard.states[work.order[row]]
            stream.older = [run for run in stream.older if run[1] > nominal[place, -1]]
            runs = [*stream.older, [int(run_first[place, 0]), int(ends[place])]]
            runs = [run for run in runs if run[0] < run[1]]
            for window, frame in enumerate(nominal[place].tolist()):
                starts[place, window] = next((max(first, frame) for first, end in runs if end > frame), frame)
            ends[place] = runs[-1][1] if runs else ends[place]
            store.note(int(work.slots[row]), stream)
    return starts, ends

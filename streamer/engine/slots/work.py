"""What a batch has to compute, derived from the clocks and the new samples of all its streams at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamer.engine.backbone import Hops
from streamer.engine.heard import NOWHERE, HeardBatch
from streamer.engine.slots.store import Store
from streamer.engine.slots.table import Numbers
from streamer.engine.slots.transfer import sent, staged


@dataclass(frozen=True, slots=True)
class Work:
    """One value per stream in each array, (streams,); streams with the fewest new hops come first.

    order: its index in the `HeardBatch`. slots, places, kinds: see `Store.rows`. offsets, lengths: where its new
    samples begin in the batch, and how many there are. positions: its position after them. steps: the samples in one
    step. hops: the number of new hops. outputs: the frame that the first new hop completes. valid: the first frame
    since the last restart. first, end: the range of its new frames. starts: where the first new hop begins, counted
    from the start of its tail. splits: the first frame after its open cell. complete: whether its step is complete.
    """

    order: Numbers
    slots: Numbers
    places: Numbers
    kinds: Numbers
    offsets: Numbers
    lengths: Numbers
    positions: Numbers
    steps: Numbers
    hops: Numbers
    outputs: Numbers
    valid: Numbers
    first: Numbers
    end: Numbers
    starts: Numbers
    splits: Numbers
    complete: NDArray[np.bool_]

    @classmethod
    def of(cls, store: Store, heard: HeardBatch) -> Work:
        """The work for these samples; moves the streams' clocks past them."""
        clock, network = store.streams.on_host, store.hops
        slots, places, kinds = store.rows(heard.states)
        before, lengths = clock("position")[slots], heard.lengths
        positions = before + lengths
        hops = np.maximum((positions - network.end) // network.stride - clock("next_hop")[slots], 0)
        order = np.argsort(hops, kind="stable")
        offsets = np.cumsum(lengths) - lengths
        slots, places, kinds, before, lengths, positions, hops, offsets = (
            array[order] for array in (slots, places, kinds, before, lengths, positions, hops, offsets)
        )
        steps = store.steps[kinds]
        next_hop, valid = clock("next_hop")[slots], clock("valid_from")[slots]
        outputs = next_hop - network.lag
        first = np.maximum(outputs, valid)
        end = np.maximum(outputs + hops, first)

        clock("position")[slots] = positions
        clock("next_hop")[slots] = next_hop + hops
        clock("heard")[slots] += lengths
        clock("energy")[slots] += heard.energy[order]
        ends = heard.ends[order] | (positions % steps == 0)
        splits = np.zeros_like(hops)
        work = cls(
            order, slots, places, kinds, offsets, lengths, positions, steps, hops, outputs, valid, first, end,
            store.tail + next_hop * network.stride + network.start - before, splits, ends & (clock("heard")[slots] > 0),
        )  # fmt: skip
        for kind, own in work.by_kind(np.arange(len(order))):
            splits[own] = store.cells(kind).place_frames(places[own], first[own], end[own], network.stride)
        return work

    @property
    def gained(self) -> NDArray[np.bool_]:
        """Which streams have new frames."""
        gained: NDArray[np.bool_] = self.end > self.first
        return gained

    def by_kind(self, rows: Numbers) -> Iterator[tuple[int, Numbers]]:
        """Group these rows by the kind of their windows."""
        kinds = self.kinds[rows]
        if len(rows) and (kinds == kinds[0]).all():
            yield int(kinds[0]), rows
            return
        for kind in np.unique(kinds).tolist():
            yield kind, rows[kinds == kind]

    def among(self, slots: set[int]) -> Numbers:
        """The rows of the streams with these slots."""
        if not slots:
            return _NOBODY
        found: Numbers = np.flatnonzero(np.isin(self.slots, list(slots)))
        return found

    def rows(self, network: Hops, device: torch.device) -> dict[str, Tensor]:
        """The values that the device needs, (streams,) int64 each, by name, sent in one copy.

        Besides arrays of this class: used, the number of samples that the new hops read; silent, how many of the new
        hops come before the stream's own sound. Three are frames, counted from the one that the first new hop
        completes: begins, the first new frame; splits, the first frame of the second piece; ends, one past the last.
        """
        columns = {
            "slots": self.slots,
            "offsets": self.offsets,
            "lengths": self.lengths,
            "starts": self.starts,
            "used": (self.hops - 1) * network.stride + network.reads,
            "hops": self.hops,
            "silent": np.maximum(self.valid - self.outputs - network.lag, 0),
            "begins": self.first - self.outputs,
            "splits": self.splits - self.outputs,
            "ends": self.end - self.outputs,
        }
        host = staged((len(columns), len(self.order)), device, torch.int64)
        np.stack(list(columns.values()), out=host.numpy())
        return dict(zip(columns, sent(host, device).unbind(), strict=True))

    def restart(self, store: Store, heard: HeardBatch) -> Numbers:
        """Move the clocks of streams that skip, after their results are handed out. Returns the rows of these."""
        skips = heard.skips[self.order]
        rows = np.flatnonzero(skips != NOWHERE)
        if not len(rows):
            return rows
        clock, network = store.streams.on_host, store.hops
        for row in rows.tolist():
            stream, slot = heard.states[self.order[row]], int(self.slots[row])
            run = [int(clock("run_first")[slot]), int(self.end[row])]
            if run[0] < run[1]:
                stream.older.append(run)
            if stream.speech:
                stream.speech.skip(int(skips[row]))
            store.note(slot, stream)
        slots, samples = self.slots[rows], skips[rows]
        valid = -(-samples // network.stride)
        clock("position")[slots] = samples
        clock("valid_from")[slots] = clock("run_first")[slots] = valid
        clock("next_hop")[slots] = valid - network.warm_up
        nothing = clock("heard")[slots] == 0
        clock("start_sample")[slots[nothing]] = samples[nothing]
        clock("first_frame")[slots[nothing]] = valid[nothing]
        return rows


_NOBODY = np.zeros(0, np.int64)

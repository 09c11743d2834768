"""The cells of all streams with the same windows: their records on the device, their numbers on the host.

Cell c of a stream holds the frames that begin in its step c, both counted from 0. This module computes everything that
does not need the contents of cells, for many streams at once: which cell is open, which cells close when a step is
complete, and which cells the next frames belong to.

The frames that a stream gains in one step belong to at most two cells. When step q ends, the last complete frame
begins in cell q + 1 - delay at the latest, and the cells before q - delay were closed one step earlier. So one cell is
kept open, and the new frames form two pieces: one for the open cell, and one for the cell after it.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from streamer.engine.backbone import Backbone
from streamer.engine.layers import to_device
from streamer.engine.settings import WindowSettings
from streamer.engine.sliding import HEADER, close_and_pool
from streamer.engine.slots.moments import Closing, close_and_pool_on_device
from streamer.engine.slots.table import Numbers, Slots

#: Stands for "no cell".
NONE = -1


class Cells:
    """The cells of one kind of windows.

    rows (slots, rows, record): see `streamer.engine.sliding`. memory: the state from `Backbone.new_memory`.
    """

    def __init__(self, settings: WindowSettings, backbone: Backbone) -> None:
        self.settings = settings
        # All frames that begin in a step are complete this many steps after it.
        self.delay = math.ceil(backbone.hops.grid.receptive_field / settings.step_samples)
        self.lengths = np.array([count - self.delay for count in settings.counts], np.int64)
        count = 1 + sum(int(length) + 1 for length in self.lengths if length > 0)
        rows = torch.zeros(count, HEADER + 2 * backbone.channels, device=backbone.device)
        self.memory = dict(backbone.new_memory(settings))
        number = np.array(NONE, np.int64)
        self.slots = Slots(
            {"rows": rows, **self.memory},
            {
                "index": np.zeros(len(self.lengths), np.int64),
                "first_open": np.array(0, np.int64),
                "open_cell": number,
                "next_cell": number,
            },
        )

    @property
    def rows(self) -> Tensor:
        return self.slots["rows"]

    def place_frames(self, places: Numbers, first: Numbers, end: Numbers, stride: int) -> Numbers:
        """Assign the new frames [first, end), (streams,) each, to cells. Returns each stream's first frame after its
        open cell."""
        open_cell, next_cell = self.slots.on_host("open_cell"), self.slots.on_host("next_cell")
        step, gained = self.settings.step_samples, end > first
        own = open_cell[places]
        own = np.where((own == NONE) & gained, first * stride // step, own)
        last = (end - 1) * stride // step
        open_cell[places] = own
        next_cell[places] = np.where(gained & (last > own), last, next_cell[places])
        return -(-(own + 1) * step // stride)

    def closing(self, places: Numbers, positions: Numbers) -> Closing:
        """The cells that close with the step that ends at each stream's position, even if it ends early; updates the
        cells' numbers."""
        first_open, open_cell, next_cell = (
            self.slots.on_host(name) for name in ("first_open", "open_cell", "next_cell")
        )
        before = -(-positions // self.settings.step_samples) - self.delay
        first, own, after = first_open[places], open_cell[places], next_cell[places]
        passed = (own != NONE) & (own < before)
        # After a gap that is longer than any window, all earlier cells are too old.
        forgotten = before - np.where(passed, own, first - 1) > self.lengths[-1]
        pushes = np.where(forgotten, 0, np.maximum(before - first, 0))
        closing = Closing(pushes, np.where(passed, own - first, NONE), forgotten, passed)
        open_cell[places] = np.where(passed, after, own)
        next_cell[places] = np.where(passed, NONE, after)
        first_open[places] = np.maximum(first, before)
        return closing

    def pool(self, pieces: Tensor, streams: Numbers, places: Numbers, closing: Closing, compiled: bool) -> Tensor:
        """Merge pieces into the cells. Returns the records (n, windows, record) of the windows that end here.

        pieces (batch, 2, record): those of all streams of the batch; `streams` (n,) selects from them. places (n,): the
        rows of the selected streams. compiled: on a CPU, in one compiled pass.
        """
        index = self.slots.on_host("index")
        if not compiled:
            if len(streams) < len(pieces):
                pieces = pieces.index_select(0, to_device(streams, pieces.device))
            return close_and_pool_on_device(pieces, self.rows, index, places, self.lengths, closing)
        records = torch.empty(len(places), len(self.lengths), pieces.shape[2])
        close_and_pool(
            pieces.numpy(), self.rows.numpy(), index, streams, places, self.lengths, closing.pushes, closing.own,
            closing.forgotten, closing.passed, records.numpy(),
        )  # fmt: skip
        return records

"""The cells of all streams that ask for the same windows: their records on the device, their numbers on the host.

Cell c of a stream holds the frames that begin in its c-th step. All that is known of cells without looking into them is
worked out here, for many streams at once: which one is open, which are closed when a step is complete, and which the
next frames belong to.

Of the frames that a stream gained since it completed a step, two cells can have some: a frame that is complete in step
q began before step q - delay did, and the cells before q - 1 - delay were closed with the step before. So one cell is
kept open, and what is new is two pieces: one for it, and one for the cell after it.
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
    """rows (slots, rows, record): see `streamer.engine.sliding`. memory: what the backbone keeps beside its carry."""

    def __init__(self, settings: WindowSettings, backbone: Backbone) -> None:
        self.settings = settings
        # The last frames that begin in a step end so many steps later.
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
        """Where streams gain the frames [first, end), (streams,) each: the first frame of each that lies behind its
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
        """Close what closes with the step that ends at each stream's position, or ends early there."""
        first_open, open_cell, next_cell = (
            self.slots.on_host(name) for name in ("first_open", "open_cell", "next_cell")
        )
        before = -(-positions // self.settings.step_samples) - self.delay
        first, own, after = first_open[places], open_cell[places], next_cell[places]
        passed = (own != NONE) & (own < before)
        # After a gap longer than any window nothing that was pooled counts any more.
        forgotten = before - np.where(passed, own, first - 1) > self.lengths[-1]
        pushes = np.where(forgotten, 0, np.maximum(before - first, 0))
        closing = Closing(pushes, np.where(passed, own - first, NONE), forgotten, passed)
        open_cell[places] = np.where(passed, after, own)
        next_cell[places] = np.where(passed, NONE, after)
        first_open[places] = np.maximum(first, before)
        return closing

    def pool(self, pieces: Tensor, streams: Numbers, places: Numbers, closing: Closing, compiled: bool) -> Tensor:
        """Take pieces into the cells; the records (n, windows, record) of the windows that end here.

        pieces (batch, 2, record), of which those of `streams` (n,) are meant; places (n,): their rows. compiled: on a
        CPU, in one compiled pass.
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

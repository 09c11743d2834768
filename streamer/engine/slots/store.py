"""The rows of all streams: carries, tails, clocks and cells.

State that depends only on the network is in arrays that all streams share. Cells are in one set of arrays for each kind
of windows: streams with the same windows share it, and it is freed with the last of them.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamer.engine.backbone import Backbone
from streamer.engine.settings import WindowSettings
from streamer.engine.slots.cells import Cells
from streamer.engine.slots.sound import tail_samples
from streamer.engine.slots.stream import CachedStream
from streamer.engine.slots.table import Numbers, Slots


class Store:
    """The streams of one engine.

    streams: a row for each stream. On the device: tail (samples,) and carry (size,). On the host: position, the number
    of samples heard or skipped; next_hop, the first hop that is not computed yet; valid_from, the first frame since the
    last restart; run_first, the first of the current run of frames; and for the current step start_sample, first_frame,
    heard (samples) and energy.
    """

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.hops = backbone.hops
        self.tail = tail_samples(backbone.hops)
        carry = backbone.new_carry()
        zero = np.array(0, np.int64)
        clock = dict.fromkeys(("position", "valid_from", "run_first", "start_sample", "first_frame", "heard"), zero)
        clock["next_hop"] = np.array(-backbone.hops.warm_up, np.int64)
        self.streams = Slots(
            {"tail": carry.new_zeros(self.tail), "carry": carry}, {**clock, "energy": np.array(0, np.float64)}
        )
        #: The cells of each kind of windows; None if no stream has that kind now. A kind's index is used again.
        self.kinds: list[Cells | None] = []
        #: The step of each kind, in samples.
        self.steps = np.zeros(0, np.int64)
        self._kind_of: dict[WindowSettings, int] = {}
        #: The slots of streams with a gap in their frames (`CachedStream.older`), and of streams in a step that has
        #: results from before a gap (`CachedStream.begun`).
        self.with_gaps: set[int] = set()
        self.begun: set[int] = set()
        #: Kind, slot and place of streams that were garbage-collected, which may happen on any thread.
        self._left: deque[tuple[int, int, int]] = deque()

    def cells(self, kind: int) -> Cells:
        cells = self.kinds[kind]
        assert cells is not None
        return cells

    @property
    def remembers(self) -> bool:
        """Whether any stream keeps state besides its carry, see `Backbone.new_memory`."""
        return any(cells is not None and cells.memory for cells in self.kinds)

    def row_bytes(self, settings: WindowSettings) -> int:
        return self.streams.row_bytes + self._cells_for(settings).slots.row_bytes

    def lengths(self, settings: WindowSettings) -> NDArray[np.int64]:
        return self._cells_for(settings).lengths

    def fresh(self, settings: WindowSettings) -> dict[str, NDArray[Any]]:
        """The row of a new stream."""
        return self.streams.fresh() | self._cells_for(settings).slots.fresh()

    def position(self, stream: CachedStream) -> int:
        if stream.slot >= 0:
            return int(self.streams.on_host("position")[stream.slot])
        return 0 if stream.outside is None else int(stream.outside["position"])

    def read(self, stream: CachedStream, device: bool = True) -> Mapping[str, NDArray[Any]]:
        """A stream's row. device: whether to include the part on the device."""
        if stream.slot < 0:
            return self.fresh(stream.settings) if stream.outside is None else stream.outside
        return self.streams.read(stream.slot, device) | self.cells(stream.kind).slots.read(stream.place, device)

    def rows(self, streams: Sequence[CachedStream]) -> tuple[Numbers, Numbers, Numbers]:
        """The slots, places and kinds of streams, (streams,) each."""
        found = np.array([(stream.slot, stream.place, stream.kind) for stream in streams], np.int64)
        slots, places, kinds = found.reshape(-1, 3).T
        return slots, places, kinds

    def settle(self, streams: Sequence[CachedStream]) -> None:
        """Give a slot to each stream without one, and free the slots of streams that no longer exist."""
        while self._left:
            self._take_back(*self._left.popleft())
        by_windows: dict[WindowSettings, list[CachedStream]] = {}
        for stream in [stream for stream in streams if stream.slot < 0]:
            by_windows.setdefault(stream.settings, []).append(stream)
        for settings, same in by_windows.items():
            kind = self._kind(settings)
            cells = self.cells(kind)
            slots, places = self.streams.take(len(same)), cells.slots.take(len(same))
            for stream, slot, place in zip(same, slots.tolist(), places.tolist(), strict=True):
                if stream.outside is not None:
                    self.streams.write(slot, stream.outside)
                    cells.slots.write(place, stream.outside)
                self.note(slot, stream)
                stream.slot, stream.place, stream.kind, stream.outside = slot, place, kind, None
                weakref.finalize(stream, self._left.append, (kind, slot, place)).atexit = False

    def note(self, slot: int, stream: CachedStream) -> None:
        """Record whether a stream has state outside the arrays."""
        for slots, there in ((self.with_gaps, bool(stream.older)), (self.begun, stream.begun is not None)):
            if there:
                slots.add(slot)
            else:
                slots.discard(slot)

    def _kind(self, settings: WindowSettings) -> int:
        kind = self._kind_of.get(settings)
        if kind is None:
            kind = self.kinds.index(None) if None in self.kinds else len(self.kinds)
            self.kinds[kind : kind + 1] = [Cells(settings, self.backbone)]
            self.steps = np.array([0 if cells is None else cells.settings.step_samples for cells in self.kinds])
            self._kind_of[settings] = kind
        return kind

    def _take_back(self, kind: int, slot: int, place: int) -> None:
        self.with_gaps.discard(slot)
        self.begun.discard(slot)
        self.streams.give_back(slot)
        cells = self.cells(kind)
        cells.slots.give_back(place)
        if cells.slots.taken == 0:
            self.kinds[kind] = None
            del self._kind_of[cells.settings]

    def _cells_for(self, settings: WindowSettings) -> Cells:
        # Called on any thread. Meanwhile the stepping thread may free the cells of this kind, and reuse its index.
        there = [cells for cells in self.kinds if cells is not None and cells.settings == settings]
        return there[0] if there else Cells(settings, self.backbone)

"""All streams' rows: what they carry, their clocks, and their cells.

What depends on the network alone is one array for all streams. Cells are arrays by windows: streams that ask for the
same share one, and it goes with the last of them.
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

    streams: device tail (samples,) and carry (size,); on the host, of each stream: position, samples heard or skipped;
    next_hop, the first that is not computed; valid_from, the first frame since the last restart; run_first, the first
    of the present run of frames; and of its present step start_sample, first_frame, heard (samples) and energy.
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
        #: By kind, a number for each that there are streams of; a number is used again.
        self.kinds: list[Cells | None] = []
        #: Samples of a step, by kind.
        self.steps = np.zeros(0, np.int64)
        self._kind_of: dict[WindowSettings, int] = {}
        #: Slots of streams with a gap in their frames (`CachedStream.older`), and of those within a step that began
        #: before a gap.
        self.with_gaps: set[int] = set()
        self.begun: set[int] = set()
        #: Rows of streams that were garbage-collected, on whichever thread that happened.
        self._left: deque[tuple[int, int, int]] = deque()

    def cells(self, kind: int) -> Cells:
        cells = self.kinds[kind]
        assert cells is not None
        return cells

    @property
    def remembers(self) -> bool:
        """Whether streams keep something beside their carry, see `Backbone.new_memory`."""
        return any(cells is not None and cells.memory for cells in self.kinds)

    def row_bytes(self, settings: WindowSettings) -> int:
        return self.streams.row_bytes + self._cells_for(settings).slots.row_bytes

    def lengths(self, settings: WindowSettings) -> NDArray[np.int64]:
        return self._cells_for(settings).lengths

    def fresh(self, settings: WindowSettings) -> dict[str, NDArray[Any]]:
        """The row of a stream that has heard nothing."""
        return self.streams.fresh() | self._cells_for(settings).slots.fresh()

    def position(self, stream: CachedStream) -> int:
        if stream.slot >= 0:
            return int(self.streams.on_host("position")[stream.slot])
        return 0 if stream.outside is None else int(stream.outside["position"])

    def read(self, stream: CachedStream, device: bool = True) -> Mapping[str, NDArray[Any]]:
        """A stream's row; what of it is on the device only where that is wanted."""
        if stream.slot < 0:
            return self.fresh(stream.settings) if stream.outside is None else stream.outside
        return self.streams.read(stream.slot, device) | self.cells(stream.kind).slots.read(stream.place, device)

    def rows(self, streams: Sequence[CachedStream]) -> tuple[Numbers, Numbers, Numbers]:
        """Slot, place and kind (streams,) of each."""
        found = np.array([(stream.slot, stream.place, stream.kind) for stream in streams], np.int64)
        slots, places, kinds = found.reshape(-1, 3).T
        return slots, places, kinds

    def settle(self, streams: Sequence[CachedStream]) -> None:
        """Give a slot to each stream that has none, and take back those of streams that are gone."""
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
        """Remember what of a stream is not in arrays."""
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
        # Asked on any thread, while the one that steps may take the last stream's away, and give its number to others.
        there = [cells for cells in self.kinds if cells is not None and cells.settings == settings]
        return there[0] if there else Cells(settings, self.backbone)

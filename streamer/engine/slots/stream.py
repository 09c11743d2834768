"""One stream of `cached` mode: its rows in the shared arrays, and how they are read out and put back.

A stream may be opened and restored on any thread, but only the stepping thread takes rows. Until its first step, a
stream therefore keeps its row itself, in host memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from streamer.engine.backbone import Hops
from streamer.engine.settings import WindowSettings
from streamer.engine.slots.table import StreamRow
from streamer.engine.stepper import StepTally
from streamer.speech.detector import SpeechState

#: The parts of a row that a snapshot stores as plain numbers.
CLOCK = ("position", "next_hop", "valid_from", "run_first", "start_sample", "first_frame", "heard", "energy")
CELLS = ("first_open", "open_cell", "next_cell")


class Rows(Protocol):
    """The part of `Store` that a stream uses."""

    hops: Hops
    tail: int

    def position(self, stream: CachedStream) -> int: ...

    def row_bytes(self, settings: WindowSettings) -> int: ...

    def lengths(self, settings: WindowSettings) -> NDArray[np.int64]: ...

    def fresh(self, settings: WindowSettings) -> dict[str, NDArray[Any]]: ...

    def read(self, stream: CachedStream, device: bool = True) -> Mapping[str, NDArray[Any]]: ...


class CachedStream:
    """The state of one stream.

    speech: the state of a separate speech detector, if one is used. slot: its row in `Store.streams`. place: its row in
    the cells of its windows. kind: which cells these are. All three are -1 until the first step.
    begun, pieces: the results of the current step from before a gap inside it, if there was one: the outputs of the
    heads, and the records of two pieces. older: [first, end) of earlier runs of frames, oldest first, as far back as
    windows reach.
    """

    def __init__(self, store: Rows, settings: WindowSettings, speech: SpeechState | None) -> None:
        self.store = store
        self.settings = settings
        self.speech = speech
        self.slot = self.place = self.kind = -1
        self.begun: StepTally | None = None
        self.pieces: NDArray[np.float32] | None = None
        self.older: list[list[int]] = []
        #: The row of a restored stream, until it has a slot.
        self.outside: StreamRow | None = None

    @property
    def position(self) -> int:
        """The number of samples heard or skipped."""
        return int(self.store.position(self))

    @property
    def nbytes(self) -> int:
        beside = sum(part.nbytes for part in (self.pieces, self.begun, self.speech) if part is not None)
        return self.store.row_bytes(self.settings) + beside

    def snapshot(self) -> dict[str, Any]:
        row = self.store.read(self)
        clock = {name: row[name].item() for name in (*CLOCK, *CELLS)}
        arrays = {name: array for name, array in row.items() if name not in clock}
        arrays["tail"] = row["tail"][self.store.tail - _waiting(row, self.store.hops) :]
        return {
            "clock": clock,
            "row": arrays,
            "older": self.older,
            "begun": self.begun and self.begun.snapshot(),
            "pieces": self.pieces,
            "speech": self.speech and self.speech.snapshot(),
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        row: dict[str, NDArray[Any]] = {}
        clock, arrays = snapshot["clock"], snapshot["row"]
        for name, fresh in self.store.fresh(self.settings).items():
            if name in (*CLOCK, *CELLS):
                given = np.array(clock[name], fresh.dtype)
                if given != clock[name]:
                    raise ValueError(f"{name!r} is {clock[name]!r}")
            elif name == "tail":
                given = np.concatenate([fresh, arrays[name]])[len(arrays[name]) :]
            else:
                given = arrays[name]
            if given.shape != fresh.shape or given.dtype != fresh.dtype:
                raise ValueError(f"{name!r} is {given.dtype} {given.shape}, and should be {fresh.dtype} {fresh.shape}")
            row[name] = given
        if len(arrays["tail"]) > self.store.tail or len(arrays["tail"]) != _waiting(row, self.store.hops):
            raise ValueError("its samples do not fit its clock")
        # These would be read or written outside the arrays.
        if not ((row["index"] >= 0) & (row["index"] <= np.maximum(self.store.lengths(self.settings), 0))).all():
            raise ValueError("its cells do not fit its windows")
        self.older = [[int(first), int(end)] for first, end in snapshot["older"]]
        if snapshot["begun"] is not None:
            self.begun = StepTally.restored(snapshot["begun"])
        self.pieces = snapshot["pieces"]
        if self.pieces is not None and (self.pieces.shape, self.pieces.dtype) != (
            (2, row["rows"].shape[1]),
            row["rows"].dtype,
        ):
            raise ValueError(f"pieces of shape {self.pieces.shape} are none of this network")
        if self.speech:
            self.speech.restore(snapshot["speech"])
        self.outside = row


def _waiting(row: StreamRow, hops: Hops) -> int:
    """The number of samples before its position that a stream's next hop reads."""
    return max(0, int(row["position"] - (row["next_hop"] * hops.stride + hops.start)))

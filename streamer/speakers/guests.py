"""The guests of a stream, voices that nobody enrolled: their names, centroids and amounts of speech."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamer.speakers.backend import Cohort
from streamer.speakers.names import GUEST
from streamer.speakers.profiles import Vector, unit


class Guests:
    """Voices that nobody enrolled, under stable names (guest-1, guest-2, ...) that are never reused.

    Holds at most `capacity` guests: a new one replaces the guest who was silent for longest.
    """

    def __init__(self, capacity: int, dimension: int) -> None:
        self.names: list[str | None] = [None] * capacity
        self.speech_s = np.zeros(capacity, np.float32)
        self.heard = np.zeros(capacity, np.int64)
        self.given = 0
        self._settled = np.zeros((capacity, dimension), np.float32)
        self._settled_s = np.zeros(capacity, np.float32)
        self.centroids = np.zeros((capacity, dimension), np.float32)
        self._norms = np.zeros((capacity, 2), np.float32)
        #: Slots whose centroid has changed since its norms were computed.
        self._moved = np.ones(capacity, bool)

    def slot(self, name: str) -> int | None:
        """The slot of a guest; None if no guest has this name, or has it any longer."""
        return self.names.index(name) if name in self.names else None

    @property
    def active(self) -> NDArray[np.bool_]:
        return np.array([name is not None for name in self.names], bool)

    def add(self, embedding: Vector, speech_s: float, sample: int) -> int:
        """Add a guest. Returns the slot."""
        free = [slot for slot, name in enumerate(self.names) if name is None]
        slot = free[0] if free else int(np.argmin(self.heard))
        self._free(slot)
        self.given += 1
        self.names[slot] = f"{GUEST}{self.given}"
        self.hear(slot, embedding, speech_s, sample)
        return slot

    def hear(self, slot: int, embedding: Vector, speech_s: float, sample: int) -> None:
        """Update a guest with the whole current turn so far. Replaces the last update, until `settle`."""
        total = self._settled[slot] + unit(embedding) * np.float32(speech_s)
        self.centroids[slot] = unit(total)
        self._moved[slot] = True
        self.speech_s[slot] = self._settled_s[slot] + speech_s
        self.heard[slot] = sample

    def is_new(self, slot: int) -> bool:
        """Whether the guest's first turn is still going on."""
        return bool(self._settled_s[slot] == 0)

    def settle(self, slot: int) -> None:
        """Settle the guest's current turn, which is over: its speech now counts for good."""
        self._settled[slot] = self.centroids[slot] * self.speech_s[slot]
        self._settled_s[slot] = self.speech_s[slot]

    def earlier(self, one: str, other: str) -> tuple[str, str]:
        """Two guests in the order in which they were first heard."""
        names = sorted((one, other), key=lambda name: int(name.removeprefix(GUEST)))
        return names[0], names[1]

    def merge(self, kept: str, lost: str) -> None:
        """Merge a guest into the person it turned out to be: another guest, or an enrolled speaker."""
        if (into := self.slot(kept)) is not None:
            slot = self.names.index(lost)
            total = self.centroids[into] * self.speech_s[into] + self.centroids[slot] * self.speech_s[slot]
            self._settled[into] = total
            self._settled_s[into] = self.speech_s[into] = self.speech_s[into] + self.speech_s[slot]
            self.centroids[into] = unit(total)
            self._moved[into] = True
            self.heard[into] = max(self.heard[into], self.heard[slot])
        self.forget(lost)

    def silent(self, since_sample: float) -> list[str]:
        """The guests not heard since this sample."""
        return [
            name
            for name, heard in zip(self.names, self.heard, strict=True)
            if name is not None and heard < since_sample
        ]

    def forget(self, name: str) -> None:
        """Remove a guest."""
        self._free(self.names.index(name))

    def _free(self, slot: int) -> None:
        self.names[slot] = None
        for values in (self.speech_s, self.heard, self._settled, self._settled_s, self.centroids):
            values[slot] = 0
        self._moved[slot] = True

    def norms(self, cohort: Cohort) -> Vector:
        """The centroids' norms (capacity, 2), see `Cohort.norms`."""
        moved = np.flatnonzero(self._moved)
        if len(moved):
            self._norms[moved] = cohort.norms(self.centroids[moved])
            self._moved[:] = False
        return self._norms

    # State

    def snapshot(self) -> dict[str, Any]:
        return {
            "names": self.names,
            "given": self.given,
            "speech_s": self.speech_s,
            "heard": self.heard,
            "settled": self._settled,
            "settled_s": self._settled_s,
            "centroids": self.centroids,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        self.names, self.given = list(snapshot["names"]), snapshot["given"]
        self.speech_s, self.heard = snapshot["speech_s"].copy(), snapshot["heard"].copy()
        self._settled, self._settled_s = snapshot["settled"].copy(), snapshot["settled_s"].copy()
        self.centroids = snapshot["centroids"].copy()
        self._moved[:] = True

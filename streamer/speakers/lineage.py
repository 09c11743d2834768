"""How one roster came of another: where each speaker stood before, over several changes at once."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

#: So many changes back it is known; who has missed more compares names, and takes every voice for another: with very
#: many people, that costs as much as a hundred changes that are known.
KEPT = 64


@dataclass(frozen=True, slots=True)
class Moves:
    """places: (speakers,) the place before of each speaker now, -1 for none. fresh: (speakers,) whether the voice is
    another than it was."""

    places: NDArray[np.int32]
    fresh: NDArray[np.bool_]

    def after(self, earlier: Moves) -> Moves:
        """These moves after earlier ones, as one."""
        if not len(earlier.places):
            return Moves(np.full(len(self.places), -1, np.int32), np.ones(len(self.places), bool))
        there = self.places >= 0
        at = np.maximum(self.places, 0)
        places = np.where(there, earlier.places[at], np.int32(-1))
        return Moves(places, self.fresh | ~there | earlier.fresh[at])


@dataclass(slots=True)
class Lineage:
    """The last changes of a roster, by the number of the version that each led to. Shared by all versions."""

    steps: OrderedDict[int, Moves] = field(default_factory=OrderedDict)

    def add(self, version: int, moves: Moves) -> None:
        self.steps[version] = moves
        while len(self.steps) > KEPT:
            self.steps.popitem(last=False)

    def between(self, old: int, new: int) -> Moves | None:
        """All moves from one version to a later one, as one; None where they are not known any more."""
        steps = [self.steps.get(version) for version in range(old + 1, new + 1)]
        total: Moves | None = None
        for step in steps:
            if step is None:
                return None
            total = step if total is None else step.after(total)
        return total

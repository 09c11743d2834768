"""How one roster came from another: the earlier index of each speaker, across several changes at once."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

#: The number of changes to keep. A follower who has missed more compares names, and treats every voice as changed: with
#: very many speakers, that costs as much as a hundred known changes.
KEPT = 64


@dataclass(frozen=True, slots=True)
class Moves:
    """places: (speakers,) the earlier index of each current speaker, -1 if there is none. fresh: (speakers,) whether
    the voice has changed.
    """

    places: NDArray[np.int32]
    fresh: NDArray[np.bool_]

    def after(self, earlier: Moves) -> Moves:
        """These moves combined with earlier ones."""
        if not len(earlier.places):
            return Moves(np.full(len(self.places), -1, np.int32), np.ones(len(self.places), bool))
        there = self.places >= 0
        at = np.maximum(self.places, 0)
        places = np.where(there, earlier.places[at], np.int32(-1))
        return Moves(places, self.fresh | ~there | earlier.fresh[at])


@dataclass(slots=True)
class Lineage:
    """The last changes of a roster, by the version number that each led to. All versions share it."""

    steps: OrderedDict[int, Moves] = field(default_factory=OrderedDict)

    def add(self, version: int, moves: Moves) -> None:
        self.steps[version] = moves
        while len(self.steps) > KEPT:
            self.steps.popitem(last=False)

    def between(self, old: int, new: int) -> Moves | None:
        """All moves from one version to a later one, combined; None if they are no longer kept."""
        steps = [self.steps.get(version) for version in range(old + 1, new + 1)]
        total: Moves | None = None
        for step in steps:
            if step is None:
                return None
            total = step if total is None else step.after(total)
        return total

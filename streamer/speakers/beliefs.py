"""What is believed of a stream's candidates, as (states,) log probabilities, while people and guests come and go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamer.speakers.candidates import Candidates
from streamer.speakers.profiles import Roster

Belief = NDArray[np.float64]

#: How many of the enrolled are looked at to find what is believed of most.
SHOWN = 500


def joined(belief: Belief, one: int, other: int) -> None:
    """Two states were the same all along: what was believed of one is believed of the other."""
    belief[other] = np.logaddexp(belief[other], belief[one])
    belief[one] = -np.inf


def carried(belief: Belief, before: Roster, candidates: Candidates) -> Belief:
    """A belief over the enrolled of `before` and the guests as one over the states of `candidates`.

    Those who left give their share back to the prior, those who came get theirs from it.
    """
    places = candidates.roster.moves_from(before).places
    moved = np.empty(candidates.unknown + 1)
    if len(before):
        np.take(belief, places, out=moved[: len(places)], mode="clip")
    moved[: len(places)][places < 0] = -np.inf
    moved[len(places) :] = belief[len(before) :]
    return _settled(moved, candidates)


def _settled(belief: Belief, candidates: Candidates) -> Belief:
    """Nobody there is impossible, however they came in."""
    active = candidates.guests.active
    belief[len(candidates.roster) : -1][~active] = -np.inf
    # In probabilities: with very many people, that costs a third of `logaddexp` and `log_softmax`.
    shares = np.exp(belief) + np.exp(candidates.log_prior() - 10.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(shares / shares.sum()))


def snapshot(belief: Belief, candidates: Candidates) -> dict[str, Any]:
    """A belief without the many of whom nothing in particular is believed: they all have the same value, `rest`."""
    enrolled = belief[: len(candidates.roster)]
    # Some hundred of them show what most have; the median of a hundred thousand would cost more than all else.
    few = enrolled[:: 1 + len(enrolled) // SHOWN]
    rest = float(np.partition(few, len(few) // 2)[len(few) // 2]) if len(few) else None
    own = np.flatnonzero(enrolled != rest)
    names = [candidates.roster.names[place] for place in own]
    return {"names": names, "values": enrolled[own], "rest": rest, "others": belief[len(enrolled) :]}


def restored(snapshot: Mapping[str, Any], candidates: Candidates, *, same: bool) -> Belief:
    """A snapshot's belief over the states of `candidates`. same: the roster is the one that it was taken with."""
    rest = snapshot["rest"]
    belief = np.full(candidates.unknown + 1, -np.inf if rest is None else rest)
    belief[len(candidates.roster) :] = snapshot["others"]
    for name, value in zip(snapshot["names"], snapshot["values"], strict=True):
        if (place := candidates.roster.index(name)) is not None:
            belief[place] = value
    return belief if same else _settled(belief, candidates)

"""The belief about a stream's candidates, (states,) log probabilities, as speakers and guests come and go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamer.speakers.candidates import Candidates
from streamer.speakers.profiles import Roster

Belief = NDArray[np.float64]

#: The number of enrolled speakers to sample when looking for the most common value.
SHOWN = 500


def joined(belief: Belief, one: int, other: int) -> None:
    """Merge state `one` into `other`, because both are the same person: their probabilities add up."""
    belief[other] = np.logaddexp(belief[other], belief[one])
    belief[one] = -np.inf


def carried(belief: Belief, before: Roster, candidates: Candidates) -> Belief:
    """Convert a belief over the enrolled of `before` and the guests into one over the states of `candidates`.

    Speakers who left return their share to the prior; new speakers take theirs from it.
    """
    places = candidates.roster.moves_from(before).places
    moved = np.empty(candidates.unknown + 1)
    if len(before):
        np.take(belief, places, out=moved[: len(places)], mode="clip")
    moved[: len(places)][places < 0] = -np.inf
    moved[len(places) :] = belief[len(before) :]
    return _settled(moved, candidates)


def _settled(belief: Belief, candidates: Candidates) -> Belief:
    """Give every present candidate some probability, however they were added."""
    active = candidates.guests.active
    belief[len(candidates.roster) : -1][~active] = -np.inf
    # In probabilities: with very many speakers, this takes a third of the time of `logaddexp` and `log_softmax`.
    shares = np.exp(belief) + np.exp(candidates.log_prior() - 10.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(shares / shares.sum()))


def snapshot(belief: Belief, candidates: Candidates) -> dict[str, Any]:
    """A belief in compact form: most speakers share one value, `rest`, and are left out."""
    enrolled = belief[: len(candidates.roster)]
    # A few hundred samples show the common value; the median of a hundred thousand would cost more than everything
    # else.
    few = enrolled[:: 1 + len(enrolled) // SHOWN]
    rest = float(np.partition(few, len(few) // 2)[len(few) // 2]) if len(few) else None
    own = np.flatnonzero(enrolled != rest)
    names = [candidates.roster.names[place] for place in own]
    return {"names": names, "values": enrolled[own], "rest": rest, "others": belief[len(enrolled) :]}


def restored(snapshot: Mapping[str, Any], candidates: Candidates, *, same: bool) -> Belief:
    """A snapshot's belief over the states of `candidates`. same: whether the roster is the one in the snapshot."""
    rest = snapshot["rest"]
    belief = np.full(candidates.unknown + 1, -np.inf if rest is None else rest)
    belief[len(candidates.roster) :] = snapshot["others"]
    for name, value in zip(snapshot["names"], snapshot["values"], strict=True):
        if (place := candidates.roster.index(name)) is not None:
            belief[place] = value
    return belief if same else _settled(belief, candidates)

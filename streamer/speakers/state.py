"""A tracker's state as bytes, and beliefs carried from one roster to another."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamer.engine.window import Window
from streamer.errors import StateMismatch
from streamer.models.pooling import Moments
from streamer.speakers.candidates import Candidates
from streamer.speakers.profiles import Roster
from streamer.speakers.snapshot import pack, unpack
from streamer.speakers.trackerstate import TrackerState
from streamer.speakers.turn import Piece, Pool, Turn

VERSION = 4
#: How many of the enrolled are looked at to find what is believed of most.
SHOWN = 500
TURN = ("number", "start_sample", "log_prior", "label", "confidence", "final", "ambiguous")
WINDOW = ("start_sample", "end_sample", "duration_s", "embedding", "speech_s", "partial")
MOMENTS = ("weight", "weight2", "mean", "m2")


def carried(belief: NDArray[np.float64], before: Roster, candidates: Candidates) -> NDArray[np.float64]:
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


def _settled(belief: NDArray[np.float64], candidates: Candidates) -> NDArray[np.float64]:
    """Nobody there is impossible, however they came in."""
    active = candidates.guests.active
    belief[len(candidates.roster) : -1][~active] = -np.inf
    # In probabilities: with very many people, that costs a third of `logaddexp` and `log_softmax`.
    shares = np.exp(belief) + np.exp(candidates.log_prior() - 10.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(shares / shares.sum()))


def snapshot(tracker: TrackerState) -> bytes:
    turn = tracker.turn
    return pack(
        {
            "version": VERSION,
            "settings": tracker.settings.to_dict(),
            "dimension": tracker.roster.dimension,
            "roster": tracker.roster.digest,
            "belief": _sparse(tracker.belief, tracker.candidates),
            "boundaries": tracker.boundaries.state(),
            "overlaps": tracker.overlaps.state(),
            "guests": tracker.guests.state(),
            "turns": tracker.turns,
            "heard_sample": tracker.heard_sample,
            "speech_start": tracker.speech_start,
            "last_end": tracker.last_end,
            "recent": [_piece(piece) for piece in tracker.recent],
            "turn": turn
            and {
                **{name: getattr(turn, name) for name in TURN},
                "log_prior": _sparse(turn.log_prior, tracker.candidates),
                "pieces": [_piece(piece) for piece in turn.pieces],
                "whole": _pool(turn.whole),
                "older": _pool(turn.older),
            },
        }
    )


def restore(tracker: TrackerState, data: bytes) -> None:
    state = unpack(data)
    if not isinstance(state, dict) or state.get("version") != VERSION:
        raise StateMismatch(f"this is not a tracker's snapshot of version {VERSION}.")
    try:
        _check(tracker, state)
        _put_back(tracker, state)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise StateMismatch(f"this tracker's snapshot is not whole, or of another release ({error!r}).") from error


def _check(tracker: TrackerState, state: dict[str, Any]) -> None:
    if state["settings"] != tracker.settings.to_dict():
        differing = [name for name, value in tracker.settings.to_dict().items() if state["settings"].get(name) != value]
        raise StateMismatch(f"the snapshot was taken with other settings: {', '.join(differing)}.")
    if state["dimension"] != tracker.roster.dimension:
        raise StateMismatch(
            f"the snapshot has embeddings of {state['dimension']} dimensions, this tracker {tracker.roster.dimension}: "
            "it was taken with another model."
        )


def _put_back(tracker: TrackerState, state: dict[str, Any]) -> None:
    tracker.guests.restore(state["guests"])
    same = state["roster"] == tracker.roster.digest
    tracker.belief = _whole(state["belief"], tracker.candidates, same=same)
    tracker.boundaries.restore(state["boundaries"])
    tracker.overlaps.restore(state["overlaps"])
    tracker.turns, tracker.heard_sample = state["turns"], state["heard_sample"]
    tracker.speech_start, tracker.last_end = state["speech_start"], state["last_end"]
    tracker.recent.clear()
    tracker.recent.extend(_unpiece(piece) for piece in state["recent"])
    tracker.turn = None
    if (saved := state["turn"]) is not None:
        tracker.turn = Turn(**{name: saved[name] for name in TURN})
        tracker.turn.log_prior = _whole(saved["log_prior"], tracker.candidates, same=same)
        tracker.turn.pieces = [_unpiece(piece) for piece in saved["pieces"]]
        tracker.turn.whole, tracker.turn.older = _unpool(saved["whole"]), _unpool(saved["older"])


def _sparse(belief: NDArray[np.float64], candidates: Candidates) -> dict[str, Any]:
    """A belief without the many of whom nothing in particular is believed: they all have the same value, `rest`."""
    enrolled = belief[: len(candidates.roster)]
    # Some hundred of them show what most have; the median of a hundred thousand would cost more than all else.
    few = enrolled[:: 1 + len(enrolled) // SHOWN]
    rest = float(np.partition(few, len(few) // 2)[len(few) // 2]) if len(few) else None
    own = np.flatnonzero(enrolled != rest)
    names = [candidates.roster.names[place] for place in own]
    return {"names": names, "values": enrolled[own], "rest": rest, "others": belief[len(enrolled) :]}


def _whole(saved: dict[str, Any], candidates: Candidates, *, same: bool) -> NDArray[np.float64]:
    """What `_sparse` made, over the states of `candidates`. same: the roster is the one that it was made with."""
    rest = saved["rest"]
    belief = np.full(candidates.unknown + 1, -np.inf if rest is None else rest)
    belief[len(candidates.roster) :] = saved["others"]
    for name, value in zip(saved["names"], saved["values"], strict=True):
        if (place := candidates.roster.index(name)) is not None:
            belief[place] = value
    return belief if same else _settled(belief, candidates)


def _fields(value: object, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names}


def _pool(pool: Pool) -> dict[str, Any]:
    pooled = _fields(pool.pooled, MOMENTS) if isinstance(pool.pooled, Moments) else pool.pooled
    return {"pooled": pooled, "speech_s": pool.speech_s}


def _unpool(values: dict[str, Any]) -> Pool:
    pooled = values["pooled"]
    return Pool(Moments(**pooled) if isinstance(pooled, dict) else pooled, values["speech_s"])


def _piece(piece: Piece) -> dict[str, Any]:
    return {
        "start_sample": piece.start_sample,
        "end_sample": piece.end_sample,
        "speech_s": piece.speech_s,
        "block": piece.block and _fields(piece.block, MOMENTS),
        "windows": [_fields(window, WINDOW) for window in piece.windows],
    }


def _unpiece(values: dict[str, Any]) -> Piece:
    block = values["block"]
    windows = tuple(Window(**window) for window in values["windows"])
    return Piece(**{**values, "block": block and Moments(**block), "windows": windows})

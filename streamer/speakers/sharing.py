"""Guests that the trackers of one room share: what one of them finds out about a guest, all of them go by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import SAMPLE_RATE
from streamer.speakers.candidates import Asking
from streamer.speakers.events import Event, Renamed
from streamer.speakers.trackerstate import TrackerState


def recognise(tracker: TrackerState, slot: int, among: NDArray[np.int64] | None = None) -> Asking[list[Event]]:
    """Whether a guest is somebody we know after all: enrolled, or another guest.

    among: the only enrolled to ask about, where nothing else has changed.
    """
    guests, candidates = tracker.guests, tracker.candidates
    settings = tracker.settings
    same = yield from candidates.same_as_guest(slot, settings.guest_merge, settings.guest_merge_s, among)
    if same is None:
        return []
    lost, kept = guests.names[slot], same
    assert lost is not None
    if candidates.guest_slot(same) is not None and guests.number(lost) < guests.number(same):
        lost, kept = same, lost
    for one in tracker.sharing:
        source, target = one.candidates.index(lost), one.candidates.index(kept)
        for belief in _beliefs(one):
            belief[target] = np.logaddexp(belief[target], belief[source])
            belief[source] = -np.inf
        if one.turn is not None and one.turn.label == lost:
            one.turn.label = kept
    guests.merge(candidates.guest_slot(kept), guests.names.index(lost))
    return [Renamed(sample=0, decided_sample=tracker.heard_sample, speaker=kept, previous=lost, reason="one voice")]


def forget(tracker: TrackerState) -> None:
    """Drop the guests that were silent for too long; the one who speaks is not."""
    guests = tracker.guests
    oldest = tracker.heard_sample - tracker.settings.guest_forget_s * SAMPLE_RATE
    speaking = {one.turn.label for one in tracker.sharing if one.turn is not None}
    for slot, name in enumerate(guests.names):
        if name is not None and guests.heard[slot] < oldest and name not in speaking:
            for one in tracker.sharing:
                for belief in _beliefs(one):
                    belief[one.candidates.index(name)] = -np.inf
            guests.drop(slot)


def _beliefs(tracker: TrackerState) -> list[NDArray[np.float64]]:
    """All that a tracker believes of its candidates, (states,) each."""
    return [tracker.belief] + ([tracker.turn.log_prior] if tracker.turn is not None else [])

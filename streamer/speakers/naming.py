"""From a turn's posterior to its name: commit, correct, settle, or say that the evidence does not decide."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamer.speakers.candidates import Candidates
from streamer.speakers.events import Ambiguous, Correction, Event, Speaker, TurnEnd, Unknown
from streamer.speakers.profiles import Vector
from streamer.speakers.settings import TrackerSettings
from streamer.speakers.turn import Turn

#: The name of a voice that nobody enrolled and that said too little to become a guest.
UNKNOWN = "unknown"
#: At the end of a turn, the likeliest is taken if it is more likely than not.
LAST_WORD = 0.5


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of a turn at one step.

    posterior: (states,) log probabilities. scores: (states,) cosines. embedding, speech_s: the whole turn, pooled.
    heard_sample: how far the stream was heard.
    """

    posterior: NDArray[np.float64]
    scores: NDArray[np.floating]
    embedding: Vector
    speech_s: float
    heard_sample: int


def name(turn: Turn, verdict: Evidence, candidates: Candidates, settings: TrackerSettings) -> list[Event]:
    """Name the turn, or change or settle its name, as far as the evidence goes; it may make a guest."""
    best = int(np.argmax(verdict.posterior))
    confidence = math.exp(verdict.posterior[best])
    if turn.label is not None:
        turn.confidence = math.exp(verdict.posterior[candidates.index(turn.label)])
        slot = candidates.guest_slot(turn.label)
        # Who is new is learned as they speak. An older guest learns from whole turns only: a voice that was mistaken
        # for theirs for a moment must not become theirs.
        if slot is not None and candidates.guests.is_new(slot) and not turn.final:
            candidates.guests.hear(slot, verdict.embedding, verdict.speech_s, verdict.heard_sample)
    if turn.final:
        return []
    if best == candidates.unknown:
        if confidence < (settings.relabel if turn.label else settings.commit):
            return _undecided(turn, verdict, candidates, settings)
        if verdict.speech_s < settings.guest_speech_s:
            return []
        guests = candidates.guests
        slot = guests.add(verdict.embedding, verdict.speech_s, verdict.heard_sample)
        best = len(candidates.roster) + slot
        verdict.posterior[best], verdict.posterior[candidates.unknown] = verdict.posterior[candidates.unknown], -np.inf
        turn.log_prior[best] = turn.log_prior[candidates.unknown]
    label = candidates.name(best)
    assert label is not None
    if turn.label is None and confidence < settings.commit:
        return _undecided(turn, verdict, candidates, settings)
    if turn.label is not None and label != turn.label and confidence < settings.relabel:
        return []
    settles = confidence >= settings.settle and verdict.speech_s >= settings.settle_s
    if label == turn.label and not settles:
        return []
    reason = f"{verdict.speech_s:.1f} s of speech"
    return [label_turn(turn, label, confidence, verdict, candidates, final=settles, reason=reason)]


def last_word(turn: Turn, verdict: Evidence, candidates: Candidates) -> list[Event]:
    """The turn is over: name it now if it has no name, or correct the one it has. Speech between whose voices the
    evidence did not decide is somebody's all the same: it is told as an unknown voice's, and never passed over."""
    best = int(np.argmax(verdict.posterior))
    confidence = math.exp(verdict.posterior[best])
    if turn.label is not None:
        turn.confidence = math.exp(verdict.posterior[candidates.index(turn.label)])
    label = candidates.name(best) or UNKNOWN
    if turn.label is None and confidence < LAST_WORD:
        return [_open_to_the_end(turn, verdict, candidates)]
    if turn.final or label == turn.label or confidence < LAST_WORD:
        return []
    if turn.label is not None and label == UNKNOWN:
        return []
    reason = f"the whole turn, {verdict.speech_s:.1f} s of speech"
    return [label_turn(turn, label, confidence, verdict, candidates, final=True, reason=reason)]


def _open_to_the_end(turn: Turn, verdict: Evidence, candidates: Candidates) -> Event:
    order = np.argsort(-verdict.posterior, kind="stable")[:2]
    between = " and ".join(candidates.name(int(state)) or UNKNOWN for state in order)
    confidence = math.exp(verdict.posterior[candidates.unknown])
    reason = f"between {between}, after {verdict.speech_s:.1f} s of speech"
    return label_turn(turn, UNKNOWN, confidence, verdict, candidates, final=True, reason=reason)


def label_turn(
    turn: Turn, label: str, confidence: float, verdict: Evidence, candidates: Candidates, *, final: bool, reason: str
) -> Event:
    """Give the turn its name, and say so."""
    previous, turn.label, turn.confidence, turn.final = turn.label, label, confidence, final
    enrolled = verdict.scores[: len(candidates.roster)]
    others = [i for i in highest(enrolled, 2) if candidates.roster.names[i] != label]
    runner_up = candidates.roster.names[others[0]] if others else None
    state = candidates.index(label)
    score = float(verdict.scores[state])
    margin = score - float(enrolled[others[0]]) if others else None
    common = {
        "sample": turn.start_sample,
        "decided_sample": verdict.heard_sample,
        "turn": turn.number,
        "speaker": label,
        "confidence": confidence,
        "runner_up": runner_up,
        "final": final,
        "reason": reason,
    }
    if previous is not None and previous != label:
        return Correction(**common, score=score, margin=margin, previous=previous)  # type: ignore[arg-type]
    if state < len(candidates.roster):
        return Speaker(**common, score=score, margin=margin)  # type: ignore[arg-type]
    return Unknown(**common, score=score if state < candidates.unknown else None)  # type: ignore[arg-type]


def end(turn: Turn, sample: int, heard_sample: int, reason: str) -> list[Event]:
    """The end of a turn that has a name; one without is passed over."""
    if turn.label is None:
        return []
    return [
        TurnEnd(
            sample=max(sample, turn.start_sample),
            start_sample=turn.start_sample,
            decided_sample=heard_sample,
            turn=turn.number,
            speaker=turn.label,
            confidence=turn.confidence,
            reason=reason,
        )
    ]


def highest(values: NDArray[np.floating], count: int) -> list[int]:
    """The places of the highest values (many,), the highest first, without sorting the others."""
    places = np.arange(len(values))
    if len(values) > 8 * count:
        places = np.sort(np.argpartition(values, -count)[-count:])
    return [int(place) for place in places[np.argsort(-values[places], kind="stable")][:count]]


def _undecided(turn: Turn, verdict: Evidence, candidates: Candidates, settings: TrackerSettings) -> list[Event]:
    """Say once in a turn that it stays open who speaks, and between whom."""
    if turn.label is not None or turn.ambiguous or verdict.speech_s < settings.ambiguous_s:
        return []
    turn.ambiguous = True
    best, *others = highest(verdict.posterior, 3)
    # Among very many people, the likeliest may have less than that.
    likely = [best, *(state for state in others if verdict.posterior[state] > math.log(0.05))]
    return [
        Ambiguous(
            sample=turn.start_sample,
            decided_sample=verdict.heard_sample,
            turn=turn.number,
            candidates=tuple(candidates.name(state) or UNKNOWN for state in likely),
            confidence=math.exp(verdict.posterior[best]),
            reason=f"after {verdict.speech_s:.1f} s of speech",
        )
    ]

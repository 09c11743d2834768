"""One speaker's turn: what was heard of it, and the name it gets: given, corrected, settled, or left open."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamer.speakers import beliefs
from streamer.speakers.beliefs import Belief
from streamer.speakers.candidates import Candidates
from streamer.speakers.events import Ambiguous, Correction, Event, Speaker, TurnEnd, Unknown
from streamer.speakers.names import UNKNOWN
from streamer.speakers.profiles import Roster, Vector
from streamer.speakers.scoring import highest
from streamer.speakers.settings import TrackerSettings
from streamer.speakers.steps import HeardStep, Pool

#: At the end of a turn, the likeliest is taken if it is more likely than not.
LAST_WORD = 0.5


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of a turn at one step.

    posterior: (states,) log probabilities. scores: (states,) cosines. embedding, speech_s: the whole turn, pooled.
    heard_sample: how far the stream was heard.
    """

    posterior: Belief
    scores: NDArray[np.floating]
    embedding: Vector
    speech_s: float
    heard_sample: int


@dataclass(slots=True)
class Turn:
    """The state of a turn. Its last steps are kept apart, so that it can still be cut where another voice began.

    log_prior: (states,), what was believed before anything of the turn was heard.
    label: the name given to it so far. final: the label will not change any more.
    ambiguous: it was said that it stays open who speaks.
    whole: all steps, pooled. older: those before the kept ones.
    """

    number: int
    start_sample: int
    log_prior: Belief
    steps: list[HeardStep] = field(default_factory=list)
    label: str | None = None
    confidence: float = 0.0
    final: bool = False
    ambiguous: bool = False
    whole: Pool = field(default_factory=Pool)
    older: Pool = field(default_factory=Pool)

    # What was heard of it

    @property
    def speech_s(self) -> float:
        return self.whole.speech_s

    def add(self, step: HeardStep, kept: int) -> None:
        """One more step; of more than `kept`, the oldest can no longer be cut off."""
        self.steps.append(step)
        self.whole.add(step, self.start_sample)
        while len(self.steps) > kept:
            self.older.add(self.steps.pop(0), self.start_sample)

    def change_point(self, candidates: Candidates, old: int, new: int) -> int:
        """Where it most likely changed from one state to another: the short windows before sound like the old voice,
        those after it like the new one."""
        windows = [window for step in self.steps for window in step.inside(self.start_sample)[:1]]
        if not windows:
            return self.start_sample
        embeddings = np.stack([window.embedding for window in windows])
        llr = candidates.between(embeddings, np.array([window.speech_s for window in windows]), (old, new))
        before = np.cumsum(llr[:, 0] - llr[:, 1])
        first = int(np.argmax(np.concatenate([[0.0], before[:-1]])))
        # The change lies between the middle of the last window that sounds old and that of the first that sounds new.
        around = windows[max(first - 1, 0) : first + 1]
        middle = sum(window.start_sample + window.end_sample for window in around) // (2 * len(around))
        return max(middle, self.start_sample)

    def after(self, sample: int) -> list[HeardStep]:
        """The steps that lie after a sample, or mostly."""
        return [step for step in self.steps if step.middle >= sample]

    def cut(self, sample: int) -> None:
        """Leave the steps after a sample to another turn."""
        self.steps = [step for step in self.steps if step.middle < sample]
        self._pool()

    def restart(self, sample: int, log_prior: Belief) -> None:
        """What was heard before a sample misled the turn: go on as if there had been nothing."""
        self.steps, self.older, self.log_prior = self.after(sample), Pool(), log_prior
        self._pool()

    def _pool(self) -> None:
        self.whole = replace(self.older)
        for step in self.steps:
            self.whole.add(step, self.start_sample)

    # Its name

    def judge(self, evidence: Evidence, candidates: Candidates, settings: TrackerSettings) -> list[Event]:
        """Give it a name, or change or settle the one it has, as far as the evidence goes; that may make a guest."""
        best = int(np.argmax(evidence.posterior))
        confidence = math.exp(evidence.posterior[best])
        if self.label is not None:
            self.confidence = math.exp(evidence.posterior[candidates.index(self.label)])
            slot = candidates.guests.slot(self.label)
            # Who is new is learned as they speak. An older guest learns from whole turns only: a voice that was
            # mistaken for theirs for a moment must not become theirs.
            if slot is not None and candidates.guests.is_new(slot) and not self.final:
                candidates.guests.hear(slot, evidence.embedding, evidence.speech_s, evidence.heard_sample)
        if self.final:
            return []
        if best == candidates.unknown:
            if confidence < (settings.relabel if self.label else settings.commit):
                return self._undecided(evidence, candidates, settings)
            if evidence.speech_s < settings.guest_speech_s:
                return []
            best = self._new_guest(evidence, candidates)
        label = candidates.name(best)
        assert label is not None
        if self.label is None and confidence < settings.commit:
            return self._undecided(evidence, candidates, settings)
        if self.label is not None and label != self.label and confidence < settings.relabel:
            return []
        settles = confidence >= settings.settle and evidence.speech_s >= settings.settle_s
        if label == self.label and not settles:
            return []
        reason = f"{evidence.speech_s:.1f} s of speech"
        return [self._name(label, confidence, evidence, candidates, final=settles, reason=reason)]

    def last_word(self, evidence: Evidence, candidates: Candidates) -> list[Event]:
        """The turn is over: name it now if it has no name, or correct the one it has. Speech between whose voices the
        evidence did not decide is somebody's all the same: it is told as an unknown voice's, and never passed over."""
        best = int(np.argmax(evidence.posterior))
        confidence = math.exp(evidence.posterior[best])
        if self.label is not None:
            self.confidence = math.exp(evidence.posterior[candidates.index(self.label)])
        label = candidates.name(best) or UNKNOWN
        if self.label is None and confidence < LAST_WORD:
            order = np.argsort(-evidence.posterior, kind="stable")[:2]
            between = " and ".join(candidates.name(int(state)) or UNKNOWN for state in order)
            confidence = math.exp(evidence.posterior[candidates.unknown])
            reason = f"between {between}, after {evidence.speech_s:.1f} s of speech"
            return [self._name(UNKNOWN, confidence, evidence, candidates, final=True, reason=reason)]
        if self.final or label == self.label or confidence < LAST_WORD:
            return []
        if self.label is not None and label == UNKNOWN:
            return []
        reason = f"the whole turn, {evidence.speech_s:.1f} s of speech"
        return [self._name(label, confidence, evidence, candidates, final=True, reason=reason)]

    def end(self, sample: int, heard_sample: int, reason: str) -> list[Event]:
        """The end of a turn that has a name; one without is passed over."""
        if self.label is None:
            return []
        return [
            TurnEnd(
                sample=max(sample, self.start_sample),
                start_sample=self.start_sample,
                decided_sample=heard_sample,
                turn=self.number,
                speaker=self.label,
                confidence=self.confidence,
                reason=reason,
            )
        ]

    def _new_guest(self, evidence: Evidence, candidates: Candidates) -> int:
        """The unknown voice becomes a guest: the guest's state."""
        slot = candidates.guests.add(evidence.embedding, evidence.speech_s, evidence.heard_sample)
        guest, unknown = len(candidates.roster) + slot, candidates.unknown
        evidence.posterior[guest], evidence.posterior[unknown] = evidence.posterior[unknown], -np.inf
        self.log_prior[guest] = self.log_prior[unknown]
        return guest

    def _name(
        self, label: str, confidence: float, evidence: Evidence, candidates: Candidates, *, final: bool, reason: str
    ) -> Event:
        """Give the turn its name, and say so."""
        previous, self.label, self.confidence, self.final = self.label, label, confidence, final
        enrolled = evidence.scores[: len(candidates.roster)]
        others = [place for place in highest(enrolled, 2) if candidates.roster.names[place] != label]
        state = candidates.index(label)
        score = float(evidence.scores[state])
        margin = score - float(enrolled[others[0]]) if others else None
        common: dict[str, Any] = {
            "sample": self.start_sample,
            "decided_sample": evidence.heard_sample,
            "turn": self.number,
            "speaker": label,
            "confidence": confidence,
            "runner_up": candidates.roster.names[others[0]] if others else None,
            "final": final,
            "reason": reason,
        }
        if previous is not None and previous != label:
            return Correction(**common, score=score, margin=margin, previous=previous)
        if state < len(candidates.roster):
            return Speaker(**common, score=score, margin=margin)
        return Unknown(**common, score=score if state < candidates.unknown else None)

    def _undecided(self, evidence: Evidence, candidates: Candidates, settings: TrackerSettings) -> list[Event]:
        """Say once that it stays open who speaks, and between whom."""
        if self.label is not None or self.ambiguous or evidence.speech_s < settings.ambiguous_s:
            return []
        self.ambiguous = True
        best, *others = highest(evidence.posterior, 3)
        # Among very many people, the likeliest may have less than that.
        likely = [best, *(state for state in others if evidence.posterior[state] > math.log(0.05))]
        return [
            Ambiguous(
                sample=self.start_sample,
                decided_sample=evidence.heard_sample,
                turn=self.number,
                candidates=tuple(candidates.name(state) or UNKNOWN for state in likely),
                confidence=math.exp(evidence.posterior[best]),
                reason=f"after {evidence.speech_s:.1f} s of speech",
            )
        ]

    # People come and go

    def carry(self, before: Roster, candidates: Candidates) -> None:
        """The roster is another one than `before`."""
        self.log_prior = beliefs.carried(self.log_prior, before, candidates)
        if self.label is not None and not candidates.knows(self.label):
            self.label, self.final = None, False

    def rename(self, lost: str, kept: str, candidates: Candidates) -> None:
        """A guest was somebody else all along."""
        beliefs.joined(self.log_prior, candidates.index(lost), candidates.index(kept))
        if self.label == lost:
            self.label = kept

    def forget(self, guest: str, candidates: Candidates) -> None:
        """This guest is no candidate any more."""
        self.log_prior[candidates.index(guest)] = -np.inf

    # State

    def snapshot(self, candidates: Candidates) -> dict[str, Any]:
        plain = ("number", "start_sample", "steps", "label", "confidence", "final", "ambiguous", "whole", "older")
        values = {name: getattr(self, name) for name in plain}
        return {**values, "log_prior": beliefs.snapshot(self.log_prior, candidates)}

    @classmethod
    def restored(cls, snapshot: Mapping[str, Any], candidates: Candidates, *, same: bool) -> Turn:
        """The turn of a snapshot. same: the roster is the one that it was taken with."""
        own = {
            "log_prior": beliefs.restored(snapshot["log_prior"], candidates, same=same),
            "steps": [HeardStep.restored(step) for step in snapshot["steps"]],
            "whole": Pool.restored(snapshot["whole"]),
            "older": Pool.restored(snapshot["older"]),
        }
        return cls(**{**snapshot, **own})

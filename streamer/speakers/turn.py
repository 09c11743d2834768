"""The turn of one speaker: its audio evidence, and its name, from the first guess to the final one."""

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

#: At the end of a turn, the likeliest candidate is accepted if it is more likely than not.
LAST_WORD = 0.5


@dataclass(frozen=True, slots=True)
class Evidence:
    """The evidence about a turn at one step.

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
    """The state of a turn. Its last steps are kept separately, so that it can still be cut where another voice began.

    log_prior: (states,), the belief before the turn.
    label: the current name. final: the label will not change any more.
    ambiguous: an `Ambiguous` event was sent.
    whole: all steps, pooled. older: the steps before the kept ones, pooled.
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

    # Its steps

    @property
    def speech_s(self) -> float:
        return self.whole.speech_s

    def add(self, step: HeardStep, kept: int) -> None:
        """Add a step. Only the last `kept` steps can still be cut off."""
        self.steps.append(step)
        self.whole.add(step, self.start_sample)
        while len(self.steps) > kept:
            self.older.add(self.steps.pop(0), self.start_sample)

    def change_point(self, candidates: Candidates, old: int, new: int) -> int:
        """The most likely position of a change from one state to another: the short windows before it sound like the
        old voice, those after it like the new one.
        """
        windows = [window for step in self.steps for window in step.inside(self.start_sample)[:1]]
        if not windows:
            return self.start_sample
        embeddings = np.stack([window.embedding for window in windows])
        llr = candidates.between(embeddings, np.array([window.speech_s for window in windows]), (old, new))
        before = np.cumsum(llr[:, 0] - llr[:, 1])
        first = int(np.argmax(np.concatenate([[0.0], before[:-1]])))
        # The change lies between the centre of the last window that sounds old and that of the first that sounds new.
        around = windows[max(first - 1, 0) : first + 1]
        middle = sum(window.start_sample + window.end_sample for window in around) // (2 * len(around))
        return max(middle, self.start_sample)

    def after(self, sample: int) -> list[HeardStep]:
        """The steps whose centre lies at or after a sample."""
        return [step for step in self.steps if step.middle >= sample]

    def cut(self, sample: int) -> None:
        """Remove the steps after a sample, which belong to another turn."""
        self.steps = [step for step in self.steps if step.middle < sample]
        self._pool()

    def restart(self, sample: int, log_prior: Belief) -> None:
        """Discard everything before a sample, which misled the turn, and start again from a prior."""
        self.steps, self.older, self.log_prior = self.after(sample), Pool(), log_prior
        self._pool()

    def _pool(self) -> None:
        self.whole = replace(self.older)
        for step in self.steps:
            self.whole.add(step, self.start_sample)

    # Its name

    def judge(self, evidence: Evidence, candidates: Candidates, settings: TrackerSettings) -> list[Event]:
        """Name the turn, change its name or settle it, depending on the evidence. This may create a guest."""
        best = int(np.argmax(evidence.posterior))
        confidence = math.exp(evidence.posterior[best])
        if self.label is not None:
            self.confidence = math.exp(evidence.posterior[candidates.index(self.label)])
            slot = candidates.guests.slot(self.label)
            # A new guest is learned while they speak. An older guest learns only from whole turns: a voice that was
            # briefly mistaken for theirs must not become theirs.
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
        """The final decision after the turn is over: name it if it has no name, or correct its name.

        If the evidence did not decide between the voices, the turn is reported as an unknown voice's, never dropped.
        """
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
        """End a turn. Without a name, it gives no event."""
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
        """Turn the unknown voice into a guest. Returns the guest's state."""
        slot = candidates.guests.add(evidence.embedding, evidence.speech_s, evidence.heard_sample)
        guest, unknown = len(candidates.roster) + slot, candidates.unknown
        evidence.posterior[guest], evidence.posterior[unknown] = evidence.posterior[unknown], -np.inf
        self.log_prior[guest] = self.log_prior[unknown]
        return guest

    def _name(
        self, label: str, confidence: float, evidence: Evidence, candidates: Candidates, *, final: bool, reason: str
    ) -> Event:
        """Name the turn, and return the event."""
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
        """Report once that the evidence does not decide, with the likely candidates."""
        if self.label is not None or self.ambiguous or evidence.speech_s < settings.ambiguous_s:
            return []
        self.ambiguous = True
        best, *others = highest(evidence.posterior, 3)
        # With very many candidates, even the likeliest may be less probable than this.
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
        """Carry the prior over from the roster `before`."""
        self.log_prior = beliefs.carried(self.log_prior, before, candidates)
        if self.label is not None and not candidates.knows(self.label):
            self.label, self.final = None, False

    def rename(self, lost: str, kept: str, candidates: Candidates) -> None:
        """Rename a guest who turned out to be somebody else."""
        beliefs.joined(self.log_prior, candidates.index(lost), candidates.index(kept))
        if self.label == lost:
            self.label = kept

    def forget(self, guest: str, candidates: Candidates) -> None:
        """Remove this guest from the candidates."""
        self.log_prior[candidates.index(guest)] = -np.inf

    # State

    def snapshot(self, candidates: Candidates) -> dict[str, Any]:
        plain = ("number", "start_sample", "steps", "label", "confidence", "final", "ambiguous", "whole", "older")
        values = {name: getattr(self, name) for name in plain}
        return {**values, "log_prior": beliefs.snapshot(self.log_prior, candidates)}

    @classmethod
    def restored(cls, snapshot: Mapping[str, Any], candidates: Candidates, *, same: bool) -> Turn:
        """The turn of a snapshot. same: whether the roster is the one in the snapshot."""
        own = {
            "log_prior": beliefs.restored(snapshot["log_prior"], candidates, same=same),
            "steps": [HeardStep.restored(step) for step in snapshot["steps"]],
            "whole": Pool.restored(snapshot["whole"]),
            "older": Pool.restored(snapshot["older"]),
        }
        return cls(**{**snapshot, **own})

"""Who has the floor: the current turn, the belief about who speaks in it, and the guests found so far.

Two questions are asked at every step of speech:

- Who speaks in this turn? The whole turn is pooled into one embedding, which gets sharper as the turn goes on. The
  log-likelihood ratios of its scores, together with the belief before the turn, give the posterior of each candidate.
- Has the speaker changed? A hidden Markov filter over the same candidates listens to the short window (which reacts
  fast) and the long one (which errs rarely). When it is sure of another speaker, the turn is cut at the most likely
  point of change.

The floors of one room share their guests: what one floor learns about a guest applies to all.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import SAMPLE_RATE
from streamer.speakers import beliefs, hmm
from streamer.speakers.asking import answered
from streamer.speakers.backend import Backend
from streamer.speakers.beliefs import Belief
from streamer.speakers.candidates import Asking, Candidates, Question
from streamer.speakers.events import Event, Renamed
from streamer.speakers.guests import Guests
from streamer.speakers.profiles import Roster
from streamer.speakers.scoring import log_softmax
from streamer.speakers.settings import TrackerSettings
from streamer.speakers.steps import Embed, HeardStep
from streamer.speakers.turn import Evidence, Turn

#: Right after a change of speaker, the previous speaker is less probable than the others by this factor.
NOT_AGAIN = 20.0


class Floor:
    """The floor of one stream. peers: the other floors of the same room.

    turn: the current turn; None while nobody speaks. turns: the number of turns so far.
    belief: (states,), who speaks now. last_end: where the last speech ended.
    recent: the last steps, for a turn that begins within them.
    """

    def __init__(
        self, roster: Roster, backend: Backend, embed: Embed | None, settings: TrackerSettings, peers: Sequence[Floor]
    ) -> None:
        self.settings = settings
        self.embed = embed
        guests = peers[0].guests if peers else Guests(settings.max_guests, roster.dimension)
        self.candidates = Candidates(roster, guests, backend, settings.unknown_prior)
        #: All floors that share these guests, including this one.
        self._sharing: WeakSet[Floor] = peers[0]._sharing if peers else WeakSet()
        self._sharing.add(self)
        self.turn: Turn | None = None
        self.turns = 0
        self.heard_sample = 0
        self.last_end: int | None = None
        self.belief: Belief = self.candidates.log_prior()
        self.recent: deque[HeardStep] = deque(maxlen=settings.kept_steps)

    @property
    def roster(self) -> Roster:
        return self.candidates.roster

    @property
    def guests(self) -> Guests:
        return self.candidates.guests

    # The clock and the turns

    def advance(self, heard_sample: int) -> None:
        """Move the clock: the stream was heard up to here."""
        self.heard_sample = heard_sample

    def hear(self, step: HeardStep) -> None:
        """Add a step, whoever speaks in it; `judge` evaluates it."""
        self.recent.append(step)
        if self.turn is not None:
            self.turn.add(step, self.settings.kept_steps)

    def begin(self, sample: int) -> None:
        """Begin a turn. After a short pause, the last speaker is more probable than others."""
        pause = math.inf if self.last_end is None else (sample - self.last_end) / SAMPLE_RATE
        stay = self.settings.resume * math.exp(-pause / self.settings.pause_s)
        prior = hmm.relaxed(self.belief, self.candidates.log_prior(), stay)
        self._open(sample, prior, [step for step in self.recent if step.end_sample > sample])

    def end(self, sample: int, reason: str) -> Asking[list[Event]]:
        """End the turn: nobody speaks any more."""
        events = yield from self._close(sample, reason)
        self.last_end = sample
        return events

    def interrupt(self) -> None:
        """Break the continuity: the next audio does not follow the last."""
        self.recent.clear()

    def next_number(self) -> int:
        """The number for the next turn."""
        self.turns += 1
        return self.turns

    def _open(self, sample: int, log_prior: Belief, steps: list[HeardStep]) -> Turn:
        self.turn = Turn(self.next_number(), sample, log_prior)
        for step in steps:
            self.turn.add(step, self.settings.kept_steps)
        return self.turn

    def _close(self, sample: int, reason: str) -> Asking[list[Event]]:
        """Close the turn: give its final name, and let a guest learn from it."""
        turn, self.turn = self.turn, None
        if turn is None:
            return []
        events: list[Event] = []
        evidence = yield from self._evidence(turn)
        if evidence is not None:
            events += turn.last_word(evidence, self.candidates)
        events += turn.end(sample, self.heard_sample, reason)
        slot = self.guests.slot(turn.label) if turn.label is not None else None
        if slot is not None and evidence is not None:
            self.guests.hear(slot, evidence.embedding, evidence.speech_s, sample)
            self.guests.settle(slot)
            events += yield from self._recognise(slot)
        return events

    # Who speaks

    def judge(self, step: HeardStep) -> Asking[list[Event]]:
        """Evaluate a new step: detect a change of speaker, or else update the name of the turn."""
        turn, settings = self.turn, self.settings
        if turn is None or step.speech_s <= 0:
            return []
        whole = turn.whole.embedding(self.embed)
        if whole is None or whole[1] < settings.evidence_s:
            return []
        inside = [(window.embedding, window.speech_s) for window in step.inside(turn.start_sample)]
        # Until the long window fits inside the turn, the whole turn is at most as long as the window.
        long = inside[-1] if len(inside) == len(step.windows) > 1 else whole
        short = inside[0] if inside else long
        # These are often the same embedding: ask only once.
        asked = {id(one): one for one in (whole, long, short)}
        rows = [list(asked).index(id(one)) for one in (whole, long, short)]
        embeddings, seconds = zip(*asked.values(), strict=True)
        scores, llr = yield Question(self.candidates, np.stack(embeddings), np.array(seconds))
        posterior = self._posterior(turn, llr[0])
        if turn.speech_s <= settings.seed_s:
            self.belief = posterior
        else:
            local = settings.short_rate * llr[rows[2]] + settings.long_rate * llr[rows[1]]
            stay = math.exp(-step.speech_s / settings.stay_s)
            belief = hmm.relaxed(self.belief, self.candidates.log_prior(), stay)
            self.belief = hmm.updated(belief, step.speech_s * local)
            if (new := self._changed_to(turn)) is not None:
                return (yield from self._change(turn, new))
        return self._name(turn, Evidence(posterior, scores[0], *whole, self.heard_sample))

    def _changed_to(self, turn: Turn) -> int | None:
        """The state of another speaker that the filter is sure of, or None."""
        best = int(np.argmax(self.belief))
        if turn.label is None or self.belief[best] < math.log(self.settings.switch):
            return None
        return None if best == self.candidates.index(turn.label) else best

    def _change(self, turn: Turn, new: int) -> Asking[list[Event]]:
        """Cut the turn where the new voice most likely began, and judge the rest as a separate turn."""
        assert turn.label is not None
        old = self.candidates.index(turn.label)
        sample = turn.change_point(self.candidates, old, new)
        tail = turn.after(sample)
        rest_s = turn.speech_s - sum(step.speech_s for step in tail)
        if rest_s < self.settings.min_turn_s and not turn.final:
            # The short part before the change misled the turn, so correct the turn's name instead of cutting it.
            turn.restart(sample, self.candidates.log_prior())
            events = []
        else:
            turn.cut(sample)
            events = yield from self._close(sample, "another voice")
            prior = self.candidates.log_prior()
            prior[old] -= math.log(NOT_AGAIN)
            turn = self._open(sample, log_softmax(prior), tail)
        evidence = yield from self._evidence(turn)
        if evidence is None or evidence.speech_s < self.settings.evidence_s:
            return events
        return events + self._name(turn, evidence)

    def _name(self, turn: Turn, evidence: Evidence) -> list[Event]:
        given = self.guests.given
        events = turn.judge(evidence, self.candidates, self.settings)
        if self.guests.given > given and turn.label is not None:
            # The unknown voice has become a guest: its probability moves to the guest.
            beliefs.joined(self.belief, self.candidates.unknown, self.candidates.index(turn.label))
        return events

    def _evidence(self, turn: Turn) -> Asking[Evidence | None]:
        """The evidence of the whole turn, which updates the belief; None if there is too little speech."""
        whole = turn.whole.embedding(self.embed)
        if whole is None:
            return None
        scores, llr = yield Question(self.candidates, whole[0][None], np.array([whole[1]]))
        self.belief = self._posterior(turn, llr[0])
        return Evidence(self.belief.copy(), scores[0], *whole, self.heard_sample)

    def _posterior(self, turn: Turn, llr: NDArray[np.floating]) -> Belief:
        return log_softmax(turn.log_prior + self.settings.naming_weight * llr)

    def score(self, stretch: tuple[int, int], name: str) -> float:
        """The cosine of a candidate to the short window nearest to a stretch [start, end); 0 if no window is left."""
        windows = [window for step in self.recent for window in step.windows[:1]]
        if not windows or not self.candidates.knows(name):
            return 0.0
        nearest = min(windows, key=lambda window: abs(window.start_sample + window.end_sample - sum(stretch)))
        return self.candidates.score(nearest.embedding, name)

    # People come and go

    def set_roster(self, roster: Roster) -> list[Event]:
        """Replace the roster. Guests who turn out to be in it take their enrolled names."""
        before, fresh, settings = self.roster, np.flatnonzero(roster.moves_from(self.roster).fresh), self.settings
        self.candidates = Candidates(roster, self.guests, self.candidates.backend, settings.unknown_prior)
        self.belief = beliefs.carried(self.belief, before, self.candidates)
        if self.turn is not None:
            self.turn.carry(before, self.candidates)
        events: list[Event] = []
        if self.candidates.may_be_known(settings.guest_merge, settings.guest_merge_s, fresh):
            for slot, name in enumerate(list(self.guests.names)):
                if name is not None and self.guests.names[slot] == name:
                    events += answered(self._recognise(slot, fresh))
        return events

    def forget_silent(self) -> None:
        """Drop guests that were silent for too long, except the current speaker."""
        speaking = {one.turn.label for one in self._sharing if one.turn is not None}
        for name in self.guests.silent(self.heard_sample - self.settings.guest_forget_s * SAMPLE_RATE):
            if name not in speaking:
                for one in self._sharing:
                    one._forget(name)
                self.guests.forget(name)

    def _recognise(self, slot: int, among: NDArray[np.int64] | None = None) -> Asking[list[Event]]:
        """Check whether a guest is a known person: an enrolled speaker or another guest.

        among: the enrolled speakers to check, if nothing else has changed.
        """
        guests, settings = self.guests, self.settings
        kept = yield from self.candidates.same_as_guest(slot, settings.guest_merge, settings.guest_merge_s, among)
        lost = guests.names[slot]
        if kept is None or lost is None:
            return []
        if guests.slot(kept) is not None:
            kept, lost = guests.earlier(kept, lost)
        for one in self._sharing:
            one._rename(lost, kept)
        guests.merge(kept, lost)
        return [Renamed(sample=0, decided_sample=self.heard_sample, speaker=kept, previous=lost, reason="one voice")]

    def _rename(self, lost: str, kept: str) -> None:
        """Rename a guest who turned out to be somebody else."""
        beliefs.joined(self.belief, self.candidates.index(lost), self.candidates.index(kept))
        if self.turn is not None:
            self.turn.rename(lost, kept, self.candidates)

    def _forget(self, guest: str) -> None:
        """Remove a guest from the candidates."""
        self.belief[self.candidates.index(guest)] = -np.inf
        if self.turn is not None:
            self.turn.forget(guest, self.candidates)

    # State

    def snapshot(self) -> dict[str, Any]:
        return {
            "roster": self.roster.digest,
            "belief": beliefs.snapshot(self.belief, self.candidates),
            "guests": self.guests.snapshot(),
            "turns": self.turns,
            "heard_sample": self.heard_sample,
            "last_end": self.last_end,
            "recent": list(self.recent),
            "turn": self.turn and self.turn.snapshot(self.candidates),
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Restore a snapshot. Speakers in the current roster keep their probability."""
        self.guests.restore(snapshot["guests"])
        same, turn = snapshot["roster"] == self.roster.digest, snapshot["turn"]
        self.belief = beliefs.restored(snapshot["belief"], self.candidates, same=same)
        self.turns, self.heard_sample = snapshot["turns"], snapshot["heard_sample"]
        self.last_end = snapshot["last_end"]
        self.recent = deque(map(HeardStep.restored, snapshot["recent"]), self.settings.kept_steps)
        self.turn = turn and Turn.restored(turn, self.candidates, same=same)

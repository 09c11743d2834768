"""Who is speaking: the steps of one stream in, decisions out. No I/O, no clock, no randomness.

Frames say when there is speech (see `boundaries`). Within speech, two questions are asked at every step:

- Who speaks this turn? All of the turn is pooled into one embedding, which gets sharper as the turn goes on; the
  log-likelihood ratios of its scores, with what was believed before the turn, give the posterior of each candidate.
- Does somebody else speak by now? A hidden Markov filter over the same candidates hears the short window (fast to
  change) and the long one (slow to err); when it is sure of another, the turn is cut where the change was most likely.

A name is provisional until the turn settles; until then it may be corrected, afterwards only a new turn changes it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import SAMPLE_RATE, Gap
from streamer.engine.window import Step
from streamer.speakers import hmm, naming, sharing, state
from streamer.speakers.asking import answered
from streamer.speakers.backend import Backend
from streamer.speakers.boundaries import SpeechBoundaries
from streamer.speakers.candidates import Asking, Candidates, Guests, Question
from streamer.speakers.events import Event, GapEvent, Overload, SpeechEnd, SpeechStart
from streamer.speakers.overlap import Overlaps
from streamer.speakers.profiles import Roster
from streamer.speakers.scoring import log_softmax
from streamer.speakers.settings import TrackerSettings
from streamer.speakers.turn import Embed, Piece, Turn, change_point, frame_speech

#: After a change of speaker, the one before is this much less probable than the others.
NOT_AGAIN = 20.0


class Tracker:
    """The tracker of one stream.

    roster: whom to listen for. backend: what a score is worth, and what settings go with it; see `Backend.of`.
    embed: `Model.embed`, to pool a turn from the steps' blocks; not needed in `exact` mode, whose steps have none.
    peers: trackers of other microphones in the same room, with the same roster, whose guests are this one's too.

    >>> tracker = Tracker(roster, Backend.of(model), model.embed)                     # doctest: +SKIP
    >>> for step in steps:                                                            # doctest: +SKIP
    ...     events = tracker.update(step)
    >>> events = tracker.finish()                                                     # doctest: +SKIP
    """

    def __init__(
        self,
        roster: Roster,
        backend: Backend,
        embed: Embed | None = None,
        settings: TrackerSettings | None = None,
        peers: Sequence[Tracker] = (),
    ) -> None:
        self.settings = settings or backend.settings
        guests = peers[0].guests if peers else Guests(self.settings.max_guests, roster.dimension)
        self.candidates = self._candidates(roster, guests, backend)
        #: All that share these guests, this one among them.
        self.sharing: WeakSet[Tracker] = peers[0].sharing if peers else WeakSet()
        self.sharing.add(self)
        self.embed = embed
        self.turn: Turn | None = None
        self.turns = 0
        self.heard_sample = 0
        self.boundaries = self._new_boundaries()
        self.overlaps = Overlaps(self.settings)
        self.speech_start = 0
        self.last_end: int | None = None
        self.belief: NDArray[np.float64] = self.candidates.log_prior()
        self.recent: deque[Piece] = deque(maxlen=self.settings.kept_pieces)

    def _candidates(self, roster: Roster, guests: Guests, backend: Backend) -> Candidates:
        return Candidates(roster, guests, backend, self.settings.unknown_prior)

    def _new_boundaries(self) -> SpeechBoundaries:
        settings = self.settings
        return SpeechBoundaries(
            settings.speech_onset, settings.speech_offset, settings.min_speech_s, settings.min_silence_s
        )

    @property
    def speaking(self) -> bool:
        """Whether somebody speaks, whoever it is."""
        return self.boundaries.speaking

    @property
    def roster(self) -> Roster:
        return self.candidates.roster

    @property
    def guests(self) -> Guests:
        return self.candidates.guests

    # Hearing

    def update(self, step: Step) -> list[Event]:
        """Hear one step; what was decided by it, in order."""
        return answered(self.hearing(step))

    def hearing(self, step: Step) -> Asking[list[Event]]:
        """`update`, stopping where it has a question; see `asking`."""
        self.heard_sample = step.end_sample
        events: list[Event] = []
        if step.skipped:
            events.append(
                Overload(
                    sample=step.start_sample,
                    decided_sample=step.end_sample,
                    skipped=step.skipped,
                    reason="the engine fell behind",
                )
            )
        speech = frame_speech(step, self.settings.silence_db)
        piece = Piece.of(step, speech)
        self.recent.append(piece)
        if self.turn is not None:
            self.turn.add(piece, self.settings.kept_pieces)
        for boundary in self.boundaries.update(step.grid, step.first_frame, speech):
            if boundary.starts:
                events.append(SpeechStart(sample=boundary.sample, decided_sample=self.heard_sample))
                self._begin_speech(boundary.sample)
            else:
                events += yield from self._end_speech(boundary.sample, "silence")
        if self.turn is not None and piece.speech_s > 0:
            events += yield from self._judge(piece)
        sharing.forget(self)
        self.overlaps.hear(step)
        self.overlaps.note(events)
        return events + self.overlaps.tell(self)

    def gap(self, gap: Gap) -> list[Event]:
        """Samples are missing: what was said before the hole is over if the hole is longer than a pause."""
        return answered(self.missing(gap))

    def missing(self, gap: Gap) -> Asking[list[Event]]:
        """`gap`, stopping where it has a question."""
        self.heard_sample = gap.end_sample
        events: list[Event] = []
        if gap.end_sample - gap.start_sample >= self.settings.min_silence_s * SAMPLE_RATE:
            events += yield from self._interrupt(gap.start_sample, "gap")
        event = GapEvent(
            sample=gap.start_sample, end_sample=gap.end_sample, decided_sample=gap.end_sample, reason=gap.reason
        )
        return [*events, event]

    def finish(self) -> list[Event]:
        """The stream is over."""
        return answered(self.finishing())

    def finishing(self) -> Asking[list[Event]]:
        """`finish`, stopping where it has a question."""
        events = yield from self._interrupt(self.heard_sample, "end of stream")
        return events + self.overlaps.tell(self, everything=True)

    def _begin_speech(self, sample: int) -> None:
        """A turn begins, with whoever spoke last somewhat more probable than others while the pause was short."""
        pause = math.inf if self.last_end is None else (sample - self.last_end) / SAMPLE_RATE
        stay = self.settings.resume * math.exp(-pause / self.settings.pause_s)
        prior = hmm.relaxed(self.belief, self.candidates.log_prior(), stay)
        self.speech_start = sample
        self._open(sample, prior, [piece for piece in self.recent if piece.end_sample > sample])

    def _open(self, sample: int, log_prior: NDArray[np.float64], pieces: list[Piece]) -> Turn:
        self.turns += 1
        self.turn = Turn(self.turns, sample, log_prior)
        for piece in pieces:
            self.turn.add(piece, self.settings.kept_pieces)
        return self.turn

    def _end_speech(self, sample: int, reason: str) -> Asking[list[Event]]:
        events = yield from self._close(sample, reason)
        start, self.last_end = self.speech_start, sample
        return [
            *events,
            SpeechEnd(sample=sample, start_sample=start, decided_sample=self.heard_sample, reason=reason),
        ]

    def _interrupt(self, sample: int, reason: str) -> Asking[list[Event]]:
        events = (yield from self._end_speech(sample, reason)) if self.boundaries.interrupt() else []
        self.overlaps.interrupt(sample)
        self.overlaps.note(events)
        self.recent.clear()
        return events

    # Deciding

    def _judge(self, piece: Piece) -> Asking[list[Event]]:
        """Weigh the evidence: a change of speaker, or else the name of the turn."""
        turn = self.turn
        assert turn is not None
        whole = turn.whole.embedding(self.embed)
        if whole is None or whole[1] < self.settings.evidence_s:
            return []
        inside = [(window.embedding, window.speech_s) for window in piece.inside(turn.start_sample)]
        # Until the long window lies inside the turn, the whole turn is no longer than it.
        long = inside[-1] if len(inside) == len(piece.windows) > 1 else whole
        short = inside[0] if inside else long
        # They are often the same: what would be asked twice is asked once.
        asked = {id(one): one for one in (whole, long, short)}
        rows = [list(asked).index(id(one)) for one in (whole, long, short)]
        embeddings, seconds = zip(*asked.values(), strict=True)
        scores, llr = yield Question(self.candidates, np.stack(embeddings), np.array(seconds))
        posterior = self._posterior(turn, llr[0])
        if turn.speech_s <= self.settings.seed_s:
            self.belief = posterior
        else:
            local = self.settings.short_rate * llr[rows[2]] + self.settings.long_rate * llr[rows[1]]
            stay = math.exp(-piece.speech_s / self.settings.stay_s)
            belief = hmm.relaxed(self.belief, self.candidates.log_prior(), stay)
            self.belief = hmm.updated(belief, piece.speech_s * local)
            if (new := self._changed_to(turn)) is not None:
                return (yield from self._change(turn, new))
        verdict = naming.Evidence(posterior, scores[0], *whole, self.heard_sample)
        return self._name(turn, verdict)

    def _name(self, turn: Turn, verdict: naming.Evidence) -> list[Event]:
        given = self.guests.given
        events = naming.name(turn, verdict, self.candidates, self.settings)
        if self.guests.given > given and turn.label is not None:
            # What was believed of an unknown voice is believed of the guest it has become.
            guest, unknown = self.candidates.index(turn.label), self.candidates.unknown
            self.belief[guest] = np.logaddexp(self.belief[guest], self.belief[unknown])
            self.belief[unknown] = -np.inf
        return events

    def _posterior(self, turn: Turn, llr: NDArray[np.floating]) -> NDArray[np.float64]:
        return log_softmax(turn.log_prior + self.settings.naming_weight * llr)

    def _verdict(self, turn: Turn) -> Asking[naming.Evidence | None]:
        """What the turn as a whole says, which becomes the belief; None if it says too little."""
        whole = turn.whole.embedding(self.embed)
        if whole is None:
            return None
        scores, llr = yield Question(self.candidates, whole[0][None], np.array([whole[1]]))
        self.belief = self._posterior(turn, llr[0])
        return naming.Evidence(self.belief.copy(), scores[0], *whole, self.heard_sample)

    def _changed_to(self, turn: Turn) -> int | None:
        """The state of another speaker of whom the filter is sure."""
        best = int(np.argmax(self.belief))
        if turn.label is None or self.belief[best] < math.log(self.settings.switch):
            return None
        return None if best == self.candidates.index(turn.label) else best

    def _change(self, turn: Turn, new: int) -> Asking[list[Event]]:
        """Cut the turn where the other voice most likely began, and judge what follows on its own."""
        assert turn.label is not None
        old = self.candidates.index(turn.label)
        sample = change_point(turn, self.candidates, old, new)
        tail = [piece for piece in turn.pieces if piece.middle >= sample]
        rest_s = turn.speech_s - sum(piece.speech_s for piece in tail)
        if rest_s < self.settings.min_turn_s and not turn.final:
            # What little there is before the change misled the turn: its name is corrected by what follows.
            turn.keep(tail, older=False)
            turn.log_prior = self.candidates.log_prior()
            events = []
        else:
            turn.keep([piece for piece in turn.pieces if piece.middle < sample], older=True)
            events = yield from self._close(sample, "another voice")
            prior = self.candidates.log_prior()
            prior[old] -= math.log(NOT_AGAIN)
            turn = self._open(sample, log_softmax(prior), tail)
        verdict = yield from self._verdict(turn)
        if verdict is None or verdict.speech_s < self.settings.evidence_s:
            return events
        return events + self._name(turn, verdict)

    def _close(self, sample: int, reason: str) -> Asking[list[Event]]:
        """The turn is over: its last word on who it was, and what it taught about a guest."""
        turn, self.turn = self.turn, None
        if turn is None:
            return []
        events: list[Event] = []
        verdict = yield from self._verdict(turn)
        if verdict is not None:
            events += naming.last_word(turn, verdict, self.candidates)
        events += naming.end(turn, sample, self.heard_sample, reason)
        slot = self.candidates.guest_slot(turn.label) if turn.label is not None else None
        if slot is not None and verdict is not None:
            self.guests.hear(slot, verdict.embedding, verdict.speech_s, sample)
            self.guests.settle(slot)
            events += yield from sharing.recognise(self, slot)
        return events

    # Guests and the roster

    def set_roster(self, roster: Roster) -> list[Event]:
        """Listen for others from now on; guests that turn out to be among them take their names."""
        if roster == self.roster:
            return []
        before, fresh = self.roster, np.flatnonzero(roster.moves_from(self.roster).fresh)
        self.candidates = self._candidates(roster, self.guests, self.candidates.backend)
        self.belief = state.carried(self.belief, before, self.candidates)
        if self.turn is not None:
            self.turn.log_prior = state.carried(self.turn.log_prior, before, self.candidates)
            if self.turn.label is not None and self.candidates.index(self.turn.label) == self.candidates.unknown:
                self.turn.label, self.turn.final = None, False
        events: list[Event] = []
        settings = self.settings
        if self.candidates.may_be_known(settings.guest_merge, settings.guest_merge_s, fresh):
            for slot, name in enumerate(list(self.guests.names)):
                if name is not None and self.guests.names[slot] == name:
                    events += answered(sharing.recognise(self, slot, fresh))
        self.overlaps.note(events)
        return events

    def score(self, stretch: tuple[int, int], name: str) -> float:
        """The cosine of somebody to the short window nearest to a stretch [start, end); 0 where none is left."""
        windows = [window for piece in self.recent for window in piece.windows[:1]]
        if not windows or not self.candidates.knows(name):
            return 0.0
        nearest = min(windows, key=lambda window: abs(window.start_sample + window.end_sample - sum(stretch)))
        return self.candidates.score(nearest.embedding, name)

    # State

    def snapshot(self) -> bytes:
        """The state of the stream; see `restore`."""
        return state.snapshot(self)

    def restore(self, data: bytes) -> None:
        """Go on where another tracker with these settings was; speakers of this roster keep their place in it.

        Raises StateMismatch for damaged bytes, other settings or another embedding dimension.
        """
        state.restore(self, data)

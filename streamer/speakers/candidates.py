"""The candidates of a stream: the enrolled speakers, its guests, and an unknown voice.

States are numbered: first the speakers of the roster in order, then one slot for each possible guest, and last the
unknown voice.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from streamer.speakers.backend import Backend
from streamer.speakers.guests import Guests
from streamer.speakers.profiles import Roster, Vector, unit
from streamer.speakers.scoring import Array, effective_seconds

T = TypeVar("T")

#: Evidence is computed for this many enrolled speakers, those with the best scores. It is generous.
SHORTLIST = 64


@dataclass(frozen=True, slots=True)
class Compared:
    """Embeddings compared with the whole roster. scores: cosines (embeddings, speakers). norms: those of the embeddings
    (embeddings, 2), if there is a cohort.
    """

    scores: Vector
    norms: Vector | None

    @classmethod
    def of(cls, roster: Roster, backend: Backend, embeddings: Array) -> Compared:
        return cls(roster.scores(embeddings), backend.norms(embeddings))

    def rows(self, start: int, end: int) -> Compared:
        """A range of the embeddings."""
        return Compared(self.scores[start:end], None if self.norms is None else self.norms[start:end])


@dataclass(frozen=True, slots=True)
class Question:
    """A request for the evidence of embeddings (embeddings, dimension), given the seconds of speech in each.
    `Candidates.evidence` answers it.
    """

    candidates: Candidates
    embeddings: Array
    speech_s: Array


#: Work that pauses at each question until it gets the evidence; see `streamer.speakers.asking`.
Asking: TypeAlias = Generator[Question, tuple[Array, Array], T]


class Candidates:
    """The states of one stream, their prior, and the evidence that an embedding gives for each."""

    def __init__(self, roster: Roster, guests: Guests, backend: Backend, unknown_prior: float) -> None:
        self.roster, self.guests, self.backend = roster, guests, backend
        self._unknown_prior = unknown_prior
        self._prior: tuple[bytes, NDArray[np.float64]] | None = None

    @property
    def unknown(self) -> int:
        """The index of the unknown state, the last."""
        return len(self.roster) + len(self.guests.names)

    def name(self, state: int) -> str | None:
        """The name of a state; None for the unknown state and for a free guest slot."""
        enrolled = len(self.roster)
        if state < enrolled:
            return self.roster.names[state]
        return None if state == self.unknown else self.guests.names[state - enrolled]

    def index(self, name: str) -> int:
        """The state of a name; the unknown state if nobody has it."""
        if (place := self.roster.index(name)) is not None:
            return place
        slot = self.guests.slot(name)
        return self.unknown if slot is None else len(self.roster) + slot

    def knows(self, name: str) -> bool:
        """Whether an enrolled speaker or a guest has this name."""
        return self.index(name) != self.unknown

    def log_prior(self) -> NDArray[np.float64]:
        """(states,): `unknown_prior` for the unknown voice; the rest is shared equally. Free slots have probability
        0."""
        active = self.guests.active
        if self._prior is None or self._prior[0] != active.tobytes():
            known = len(self.roster) + int(active.sum())
            prior = np.full(self.unknown + 1, np.log((1 - self._unknown_prior) / known) if known else -np.inf)
            prior[len(self.roster) : -1][~active] = -np.inf
            prior[-1] = np.log(self._unknown_prior) if known else 0.0
            self._prior = active.tobytes(), prior
        return self._prior[1].copy()

    def evidence(self, embeddings: Array, speech_s: Array, compared: Compared | None = None) -> tuple[Array, Array]:
        """Scores and log-likelihood ratios, (embeddings, states) each; both are 0 for the unknown state.

        Ratios are computed only for the nearest enrolled speakers; the others get the lowest possible ratio.

        embeddings: (embeddings, dimension). speech_s: (embeddings,) seconds of speech in each. compared: the comparison
        with the roster, if it was already computed together with those of other trackers.
        """
        enrolled = len(self.roster)
        compared = compared or Compared.of(self.roster, self.backend, embeddings)
        scores = np.empty((len(embeddings), self.unknown + 1), np.float32)
        scores[:, :enrolled] = compared.scores
        scores[:, enrolled:-1] = unit(embeddings) @ self.guests.centroids.T
        scores[:, -1] = 0.0
        nearest = np.arange(enrolled)
        if enrolled > SHORTLIST:
            nearest = np.argpartition(scores[:, :enrolled].max(0), -SHORTLIST)[-SHORTLIST:]
        near = np.concatenate([nearest, np.arange(enrolled, self.unknown)])
        llr = np.full_like(scores, -self.backend.calibration.limit)
        llr[:, near] = self._ratios(scores[:, near], speech_s, compared.norms, nearest)
        llr[:, -1] = 0.0
        return scores, llr

    def between(self, embeddings: Array, speech_s: Array, states: Sequence[int]) -> NDArray[np.float32]:
        """Log-likelihood ratios (embeddings, states) for the given states only; see `evidence`."""
        enrolled = len(self.roster)
        places = np.array([state for state in states if state < enrolled], np.int64)
        scores = self._cosines(embeddings, places)
        ratios = self._ratios(scores, speech_s, self.backend.norms(embeddings), places)
        found = np.concatenate([ratios, np.zeros((len(embeddings), 1), np.float32)], axis=1)
        columns = {int(place): column for column, place in enumerate(places)}
        return found[:, [columns.get(state, len(places) + state - enrolled) for state in states]]

    def score(self, embedding: Vector, name: str) -> float:
        """The cosine of an embedding (dimension,) to a candidate; 0 if nobody has the name."""
        state, enrolled = self.index(name), len(self.roster)
        if state == self.unknown:
            return 0.0
        voice = self.roster.centroids[state] if state < enrolled else self.guests.centroids[state - enrolled]
        return float(unit(embedding) @ voice)

    def _cosines(self, embeddings: Array, places: NDArray[np.int64]) -> Array:
        """Cosines of embeddings to some enrolled speakers and all guests: (embeddings, places + guests)."""
        voices = np.concatenate([self.roster.centroids[places], self.guests.centroids])
        return np.asarray(unit(embeddings) @ voices.T)

    def _ratios(
        self, scores: Array, speech_s: Array, norms: Vector | None, places: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Log-likelihood ratios of scores (embeddings, places + guests) against some enrolled speakers and all guests.

        norms: those of the embeddings (embeddings, 2), if there is a cohort.
        """
        roster, guests, cohort = self.roster, self.guests, self.backend.cohort
        seconds = effective_seconds(speech_s[:, None], np.concatenate([roster.speech_s[places], guests.speech_s]))
        theirs = None
        if cohort is not None and norms is not None:
            norms, theirs = norms[:, None], np.concatenate([roster.norms(cohort)[places], guests.norms(cohort)])
        return self.backend.llr(scores, seconds, norms, theirs, len(guests.names))

    def same_as_guest(
        self, slot: int, at_least: float, guest_s: float = 0.0, among: NDArray[np.int64] | None = None
    ) -> Asking[str | None]:
        """The name of the person this guest really is: one whose log-likelihood ratio reaches `at_least`. None if
        nobody's does.

        guest_s: the seconds of speech that two guests both need before they can be matched.
        among: the states of the enrolled speakers to check; the guest is already known to be none of the others.
        """
        if self._there == 0:
            return None
        guests = np.arange(len(self.roster), self.unknown)
        if among is None:
            _, llr = yield Question(self, self.guests.centroids[slot][None], self.guests.speech_s[slot][None])
            others, states = llr[:, :-1].astype(np.float64), np.arange(self.unknown)
        else:
            others, states = self._guest_evidence([slot], among), np.concatenate([among, guests])
        self._leave_out(others, [slot], guest_s)
        best = int(np.argmax(others[0]))
        return None if others[0, best] < self._required(at_least) else self.name(int(states[best]))

    def may_be_known(self, at_least: float, guest_s: float, among: NDArray[np.int64]) -> bool:
        """Whether `same_as_guest` could match any guest. Call this first: it checks all guests at the cost of one."""
        active = [slot for slot, name in enumerate(self.guests.names) if name is not None]
        if not active or self._there == 0:
            return False
        others = self._guest_evidence(active, among)
        self._leave_out(others, active, guest_s)
        # A product of several rows is rounded differently from a product of each row alone.
        return bool(others.max() >= self._required(at_least) - 1e-3)

    @property
    def _there(self) -> int:
        """The number of other candidates that a guest could match."""
        return len(self.roster) + int(self.guests.active.sum()) - 1

    def _required(self, at_least: float) -> float:
        """The required ratio. It grows with the number of candidates, since chance matches do too."""
        return at_least + math.log(self._there)

    def _leave_out(self, others: NDArray[np.float64], slots: Sequence[int], guest_s: float) -> None:
        """Exclude ratios (slots, ... + guests) of free slots, of guests with too little speech, and of a guest with
        itself."""
        speech_s, ratios = self.guests.speech_s, others[:, others.shape[1] - len(self.guests.names) :]
        for row, slot in zip(ratios, slots, strict=True):
            row[~self.guests.active | (np.minimum(speech_s, speech_s[slot]) < guest_s)] = -np.inf
            row[slot] = -np.inf

    def _guest_evidence(self, slots: Sequence[int], places: NDArray[np.int64]) -> NDArray[np.float64]:
        """Log-likelihood ratios of guests against some enrolled speakers and all guests: (slots, places + guests)."""
        guests, cohort = self.guests, self.backend.cohort
        norms = None if cohort is None else guests.norms(cohort)[slots]
        scores = self._cosines(guests.centroids[slots], places)
        return np.asarray(self._ratios(scores, guests.speech_s[slots], norms, places), np.float64)

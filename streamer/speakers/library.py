"""`Speakers`: enrol people, and listen for them, in a few calls."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import SAMPLE_RATE
from streamer.display import table
from streamer.errors import ConfigurationError, EnrolmentRefused, SpeakerNotFound
from streamer.speakers import elsewhere
from streamer.speakers.backend import Backend
from streamer.speakers.enrolment import Coach, EnrolmentSettings, Progress, Verdict
from streamer.speakers.known import Known
from streamer.speakers.names import few
from streamer.speakers.profiles import Profile, Roster
from streamer.speakers.scoring import Calibration
from streamer.speakers.settings import DURATIONS, STEP_S, TrackerSettings
from streamer.speakers.store import SpeakerStore, clean_name
from streamer.speakers.tracker import Tracker

logger = logging.getLogger("streamer.speakers")

if TYPE_CHECKING:
    from streamer.engine.incremental import IncrementalModel
    from streamer.models.model import Model

Audio = str | os.PathLike[str] | IO[bytes] | NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class SimilarProfiles:
    """Two profiles that sound alike: their similarity, and the log-likelihood ratio that they are one person."""

    one: str
    other: str
    score: float
    llr: float


@dataclass(frozen=True, slots=True)
class Check:
    """How well the enrolled speakers can be told apart.

    within: scores of each exemplar against the rest of its profile. between: of each exemplar against the other
    profiles. threshold: the score that best separates the two, or the model's own if there is too little data.
    overlaps: pairs of profiles that sound alike, the most similar first.
    """

    within: NDArray[np.float32]
    between: NDArray[np.float32]
    threshold: float
    measured: bool
    overlaps: tuple[SimilarProfiles, ...]


class Speakers:
    """The people who are enrolled under a model.

    model: a Model, or anything `Model.from_pretrained` takes. store: a SpeakerStore, a file, a SQLAlchemy URL, or None
    for `speakers.db` in the user's data directory.

    >>> speakers = Speakers()                                                         # doctest: +SKIP
    >>> speakers.enroll("Ada", "ada.wav")                                             # doctest: +SKIP
    >>> tracker = speakers.tracker()                                                  # doctest: +SKIP
    """

    def __init__(
        self,
        model: Model | str | os.PathLike[str] = "default",
        store: SpeakerStore | str | os.PathLike[str] | None = None,
        settings: EnrolmentSettings | None = None,
    ) -> None:
        from streamer.models.model import Model

        self.model = model if isinstance(model, Model) else Model.from_pretrained(model)
        self.store = store if isinstance(store, SpeakerStore) else SpeakerStore(_location(store))
        self.settings = settings or EnrolmentSettings()
        self.backend = Backend.of(self.model)
        self._engine: IncrementalModel | None = None
        self._known: Known | None = None
        self._told = False

    def close(self) -> None:
        self.store.close()

    def __repr__(self) -> str:
        return f"Speakers({len(self.roster())} enrolled under {self.model.card.name}, in {self.store.where})"

    def _repr_html_(self) -> str:
        rows = [(one.name, f"{one.speech_s:.1f} s", len(one.exemplars)) for one in self.profiles()]
        return table(repr(self), ["name", "speech", "exemplars"], rows)

    def __enter__(self) -> Speakers:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def engine(self) -> IncrementalModel:
        """The stepping engine for enrolment, created on first use."""
        from streamer.engine.incremental import IncrementalModel

        if self._engine is None:
            # An enrolment is done before the passes for many streams would be compiled, or even loaded.
            self._engine = IncrementalModel(self.model, compiled=False)
        return self._engine

    # Enrolment

    def coach(self, name: str, source: str = "") -> Coach:
        """A coach for enrolling a speaker under this name, or for adding to the profile of this name."""
        name = clean_name(name)
        mine = next(iter(self.store.profiles(self.model.fingerprint, [name])), None)
        return Coach(self.backend, self.model.embed, self.roster(), mine, self.settings, source)

    def enroll(
        self,
        name: str,
        *audio: Audio,
        force: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> Verdict:
        """Enrol a speaker, or refine an existing profile, from files (paths or file objects) or from samples (n,) at 16
        kHz.

        All the audio is judged as one enrolment. Raises EnrolmentRefused if it would spoil the profile, unless
        forced, and AudioError if audio cannot be read.
        """
        name = clean_name(name)  # before all the work
        if not audio:
            raise ConfigurationError("enrolment needs audio: at least one file, or an array of samples.")
        from streamer.audio.decode import file_name
        from streamer.audio.files import is_file

        coach = self.coach(name, ", ".join(Path(file_name(item)).name for item in audio if is_file(item)))
        for item in audio:
            self._listen(coach, _samples(item), progress)
        return self.commit(name, coach, force=force)

    def commit(self, name: str, coach: Coach, *, force: bool = False) -> Verdict:
        """Store the exemplars of a coach. Raises EnrolmentRefused as `enroll` does."""
        verdict = coach.verdict()
        short = not verdict.exemplars
        if short or (verdict.findings and not force):
            said = "; ".join(f"{finding.code}: {finding.message} ({finding.advice})" for finding in verdict.findings)
            raise EnrolmentRefused(
                f"{name} was not enrolled. {said or 'too_short: no speech was heard'}."
                + ("" if short else " --force enrols anyway."),
                verdict.findings,
            )
        self.store.add(name, self.model.fingerprint, verdict.exemplars)
        return verdict

    def _listen(self, coach: Coach, samples: NDArray[np.float32], progress: Callable[[Progress], None] | None) -> None:
        coach.begin_recording()
        coach.hear(samples)
        stream = self.engine.open(DURATIONS, STEP_S)
        for start in range(0, len(samples), SAMPLE_RATE):
            for step in stream.push(samples[start : start + SAMPLE_RATE]):
                heard = coach.step(step)
                if progress is not None:
                    progress(heard)
        for step in stream.finish():
            coach.step(step)

    # Queries

    def profiles(self) -> list[Profile]:
        """All speakers enrolled under this model, sorted by name."""
        return self.store.profiles(self.model.fingerprint)

    def profile(self, name: str) -> Profile:
        """The profile of a speaker. Raises SpeakerNotFound if nobody of this name is enrolled under this model."""
        if not (found := self.store.profiles(self.model.fingerprint, [name])):
            if only := elsewhere.among(self.only_under_others(), [name]):
                raise SpeakerNotFound(f"{name!r} is enrolled only under another model. {elsewhere.way_out(only)}")
            raise SpeakerNotFound(f"nobody called {name!r} is enrolled; enrolled are: {few(self.roster().names)}.")
        return found[0]

    def only_under_others(self) -> dict[str, list[str]]:
        """People enrolled only under other models: their names, with the fingerprints of those models."""
        return self.store.only_under_others(self.model.fingerprint)

    def tell_of_others(self) -> None:
        """Log once, under `streamer.speakers`, that this model does not know everybody in the store."""
        if not self._told and (people := self.only_under_others()):
            logger.warning("%s", elsewhere.told(people, self.model.card.name))
        self._told = True

    def roster(self, names: Iterable[str] | None = None) -> Roster:
        """The speakers to listen for: all, or those named. Raises ConfigurationError if one of them is not enrolled."""
        fingerprint, cohort = self.model.fingerprint, self.backend.cohort
        if self._known is None:
            self._known = Known.load(self.store, fingerprint, self.model.dimension, cohort)
        elif self.store.changes() != self._known.changes:
            self._known, _ = self._known.follow(self.store, fingerprint, cohort)
        roster = self._known.roster
        if names is None:
            return roster
        wanted = [clean_name(name) for name in names]
        if any(roster.index(name) is None for name in wanted):
            elsewhere.check_roster(self.only_under_others(), wanted)
        return roster.restricted(wanted)

    def tracker(
        self,
        names: Sequence[str] | None = None,
        settings: TrackerSettings | None = None,
        peers: Sequence[Tracker] = (),
    ) -> Tracker:
        """A tracker that listens for all enrolled speakers, or for those named; `peers` are other trackers in the same
        room."""
        return Tracker(self.roster(names), self.backend, self.model.embed, settings, peers)

    def check(self) -> Check:
        """Check how well the enrolled speakers can be told apart, using their own exemplars."""
        profiles = self.profiles()
        within, between = [], []
        for profile in profiles:
            for number, exemplar in enumerate(profile.exemplars):
                others = Roster.of((other for other in profiles if other is not profile), self.model.dimension)
                between += others.scores(exemplar.embedding).tolist()
                rest = profile.exemplars[:number] + profile.exemplars[number + 1 :]
                if rest:
                    alone = Roster.of([Profile(profile.name, profile.fingerprint, rest)], self.model.dimension)
                    within += alone.scores(exemplar.embedding).tolist()
        measured = len(within) >= 2 and len(between) >= 2
        usual = Calibration.of_card(self.model.card.details).threshold(1.5)  # between windows of 3 s
        threshold = _divide(np.array(within), np.array(between)) if measured else usual
        return Check(
            np.array(within, np.float32), np.array(between, np.float32), threshold, measured, self._overlaps(profiles)
        )

    def _overlaps(self, profiles: list[Profile]) -> tuple[SimilarProfiles, ...]:
        roster = Roster.of(profiles, self.model.dimension)
        if len(roster) < 2:
            return ()
        scores, llr = self.backend.compare(roster.centroids, roster.speech_s, roster.centroids, roster.speech_s)
        pairs = [
            SimilarProfiles(roster.names[i], roster.names[j], float(scores[i, j]), float(llr[i, j]))
            for i, j in zip(*np.triu_indices(len(roster), 1), strict=True)
            if llr[i, j] > 0
        ]
        return tuple(sorted(pairs, key=lambda pair: -pair.llr))


def _divide(within: NDArray[np.floating], between: NDArray[np.floating]) -> float:
    """The score with the fewest errors, both kinds weighted equally; the midpoint if several are equally good."""
    grid = np.unique(np.concatenate([within, between]))
    cuts = np.concatenate([[grid[0]], (grid[1:] + grid[:-1]) / 2, [grid[-1]]])
    errors = (within[:, None] < cuts).mean(0) + (between[:, None] >= cuts).mean(0)
    best = np.flatnonzero(errors <= errors.min() + 1e-9)
    return float((cuts[best[0]] + cuts[best[-1]]) / 2)


def _samples(audio: Audio) -> NDArray[np.float32]:
    from streamer.audio.files import read_audio

    return read_audio(audio, SAMPLE_RATE if isinstance(audio, np.ndarray) else None).mono_16k()


def _location(store: str | os.PathLike[str] | None) -> str | Path | None:
    return store if store is None or isinstance(store, str) else Path(store)

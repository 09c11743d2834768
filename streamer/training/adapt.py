"""Adapt a model to the people, the microphones and the rooms of a few recordings, in closed form.

Differences between recordings of one person say nothing about who speaks. Within-class covariance normalisation (Hatch
et al., 2006, "Within-class covariance normalization for SVM-based speaker recognition") reduces them. It is shrunk
towards the identity, because people and recordings are few. The last layer of the network is linear, so the
normalisation becomes a part of it. Then the scores are calibrated again. Both steps use the training recordings only;
held-out recordings show whether they help.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from streamer.evaluation.metrics import det_curve, equal_error
from streamer.speakers.backend import Backend, Cohort
from streamer.speakers.profiles import unit
from streamer.speakers.scoring import Array, Calibration, effective_seconds, log_softmax

Matrix = NDArray[np.float64]

#: Shares of shrinkage to try: 1 leaves the embeddings unchanged.
SHARES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)
#: One in this number of a person's recordings is held out.
HELD_OUT = 3
#: With fewer recordings, a person shows no variation; with fewer people, nobody is left to compare with.
LEAST_RECORDINGS, LEAST_PEOPLE = 3, 3


@dataclass(frozen=True, slots=True)
class Take:
    """One recording as windows: seconds of speech (windows,), embeddings (windows, dimension)."""

    name: str
    speech_s: NDArray[np.float64]
    embeddings: NDArray[np.float32]


People = Mapping[str, Sequence[Take]]


@dataclass(frozen=True, slots=True)
class WindowErrors:
    """Error rates on windows of held-out recordings; shares from 0 to 1.

    missed: windows of enrolled speakers that got another name, or none. strangers: windows that got a name while their
        speaker was not enrolled.
    eer: equal error rate of windows against enrolled speakers. windows: number of windows.
    """

    missed: float
    strangers: float
    eer: float
    windows: int

    @property
    def mean(self) -> float:
        """The mean of both error rates."""
        return (self.missed + self.strangers) / 2

    def better_than(self, other: WindowErrors) -> bool:
        """Whether the mean error is lower, and the equal error rate no higher."""
        return self.mean < other.mean and self.eer <= other.eer


@dataclass(frozen=True, slots=True)
class Adapted:
    """transform: (dimension, dimension), for embeddings. share: see `SHARES`. backend: for transformed embeddings."""

    transform: Matrix
    share: float
    backend: Backend


def adapt(people: People, backend: Backend) -> Adapted:
    """The adaptation with the fewest errors within the training recordings.

    backend: that of a model with a cohort.
    """
    learn, held_out = parted(people)
    found = [(share, adapted(learn, backend, share)) for share in SHARES]
    errors = [measure(learn, held_out, one) for _, one in found]
    best = min(range(len(found)), key=lambda i: (errors[i].mean + errors[i].eer, i))
    return adapted(people, backend, found[best][0])


def unchanged(backend: Backend, dimension: int) -> Adapted:
    """The adaptation that leaves the model unchanged."""
    return Adapted(np.eye(dimension), 1.0, backend)


def parted(people: People) -> tuple[People, People]:
    """Training recordings, and held-out recordings: every third of each person."""
    learn, held_out = {}, {}
    for name, takes in people.items():
        kept = [take for i, take in enumerate(takes) if i % HELD_OUT != HELD_OUT - 1]
        if len(takes) >= HELD_OUT:
            held_out[name] = [take for i, take in enumerate(takes) if i % HELD_OUT == HELD_OUT - 1]
        learn[name] = kept
    return learn, held_out


def adapted(people: People, backend: Backend, share: float) -> Adapted:
    """The adaptation with one share of shrinkage."""
    transform = within_normaliser(people, share)
    assert backend.cohort is not None
    cohort = backend.cohort
    moved = Cohort(cohort.embeddings @ transform.T, cohort.top, trust=cohort.trust, usual=cohort.usual)
    backend = replace(backend, cohort=moved)
    same, different = scored(people, transform, backend)
    calibration = refitted(backend.calibration, same, different)
    guests = None if backend.guests is None else refitted(backend.guests, same, different, backend.calibration)
    return Adapted(transform, share, replace(backend, calibration=calibration, guests=guests))


def within_normaliser(people: People, share: float) -> Matrix:
    """The inverse square root of the covariance within people, shrunk by `share` towards its mean, and scaled so that
    embeddings keep about their length."""
    rests = []
    for takes in people.values():
        directions = unit(np.concatenate([take.embeddings for take in takes]).astype(np.float64))
        rests.append(directions - directions.mean(0))
    rest = np.concatenate(rests)
    covariance = rest.T @ rest / len(rest)
    size = np.trace(covariance) / len(covariance)
    values, vectors = np.linalg.eigh((1 - share) * covariance + share * size * np.eye(len(covariance)))
    return np.asarray((vectors * np.sqrt(size / values)) @ vectors.T, np.float64)


Scored = tuple[Array, Array]


def scored(people: People, transform: Matrix, backend: Backend) -> tuple[Scored, Scored]:
    """Normalised scores and effective seconds of each recording's windows against everybody: for the same speakers,
    whose profiles leave out that recording, and for different speakers."""
    assert backend.cohort is not None
    heard = {name: [_moved(take, transform) for take in takes] for name, takes in people.items()}
    norms = {name: [backend.cohort.norms(take.embeddings) for take in takes] for name, takes in heard.items()}
    profiles = {name: _profile(takes) for name, takes in heard.items()}
    same: list[Scored] = []
    different: list[Scored] = []
    for name, takes in heard.items():
        for number, take in enumerate(takes):
            others = [other for i, other in enumerate(takes) if i != number]
            known = {**profiles, name: _profile(others)} if others else {k: v for k, v in profiles.items() if k != name}
            for whose, (voice, speech_s) in known.items():
                theirs = backend.cohort.norms(voice[None])[0]
                scores = backend.cohort.normalised(unit(take.embeddings) @ voice, norms[name][number], theirs)
                (same if whose == name else different).append(
                    (scores, effective_seconds(take.speech_s, np.array(speech_s)))
                )
    return _joined(same), _joined(different)


def refitted(
    calibration: Calibration, same: Scored, different: Scored, measured: Calibration | None = None
) -> Calibration:
    """A calibration shifted and stretched to the measured scores, as far as they differ from what `measured` (default:
    the calibration itself) predicts. How it depends on the seconds stays the same."""
    usual = measured or calibration
    values = {}
    for kind, (scores, seconds) in {"same": same, "different": different}.items():
        at = np.log(seconds)
        mean, spread = (np.interp(at, np.log(usual.seconds), getattr(usual, f"{kind}_{of}")) for of in ("mean", "std"))
        off = (scores - mean) / spread
        old_mean, old_std = (np.array(getattr(calibration, f"{kind}_{of}")) for of in ("mean", "std"))
        values[f"{kind}_mean"] = tuple((old_mean + off.mean() * old_std).tolist())
        values[f"{kind}_std"] = tuple((old_std * max(float(off.std()), 0.25)).tolist())
    return replace(calibration, **values)  # type: ignore[arg-type]


def measure(enrolled: People, held_out: People, found: Adapted) -> WindowErrors:
    """The error rates on held-out recordings of people who are enrolled from their other recordings."""
    names = list(enrolled)
    profiles = [_profile([_moved(take, found.transform) for take in enrolled[name]]) for name in names]
    voices, speech_s = np.stack([voice for voice, _ in profiles]), np.array([seconds for _, seconds in profiles])
    missed = strangers = windows = 0
    same, different = [], []
    for place, name in enumerate(names):
        for take in (_moved(one, found.transform) for one in held_out.get(name, ())):
            _, llr = found.backend.compare(take.embeddings, take.speech_s, voices, speech_s)
            windows += len(llr)
            missed += int(np.sum(_named(llr, found.backend) != place))
            others = np.delete(llr, place, axis=1)
            strangers += int(np.sum(_named(others, found.backend) != len(names) - 1))
            same.append(llr[:, place])
            different.append(others.ravel())
    rate, _ = _crossing(np.concatenate(same), np.concatenate(different))
    return WindowErrors(missed / windows, strangers / windows, rate, windows)


def threshold_moved(people: People, transform: Matrix) -> float:
    """The change of the equal-error threshold, as a cosine, that the transform causes."""
    limits = []
    for matrix in (np.eye(len(transform)), transform):
        moved = {name: [_moved(take, matrix) for take in takes] for name, takes in people.items()}
        means = [(name, _profile([take])[0]) for name, takes in moved.items() for take in takes]
        cosines = np.stack([voice for _, voice in means]) @ np.stack([voice for _, voice in means]).T
        alike = np.array([[one == other for other, _ in means] for one, _ in means])
        upper = np.triu(np.ones_like(alike), 1).astype(bool)
        limits.append(_crossing(cosines[upper & alike], cosines[upper & ~alike])[1])
    return limits[1] - limits[0]


def _named(llr: NDArray[np.floating], backend: Backend) -> NDArray[np.int64]:
    """The most probable enrolled speaker for each window; for an unknown one, the number of enrolled: (windows,)."""
    unknown, known = backend.settings.unknown_prior, llr.shape[1]
    prior = np.append(np.full(known, np.log((1 - unknown) / known)), np.log(unknown))
    posterior = log_softmax(np.concatenate([llr, np.zeros((len(llr), 1))], axis=1) + prior)
    return np.asarray(posterior.argmax(1), np.int64)


def _moved(take: Take, transform: Matrix) -> Take:
    return replace(take, embeddings=np.asarray(take.embeddings @ transform.T, np.float32))


def _profile(takes: Sequence[Take]) -> tuple[NDArray[np.float32], float]:
    """The profile that these recordings would give: a direction, and seconds of speech."""
    directions = unit(np.concatenate([take.embeddings for take in takes]))
    speech_s = np.concatenate([take.speech_s for take in takes])
    return np.asarray(unit((directions * speech_s[:, None]).sum(0)), np.float32), float(speech_s.sum())


def _joined(scores: Sequence[Scored]) -> Scored:
    return np.concatenate([one for one, _ in scores]), np.concatenate([seconds for _, seconds in scores])


def _crossing(same: Array, different: Array) -> tuple[float, float]:
    """The equal error rate of scores of the same and of different speakers, and the threshold where it occurs."""
    of_one = np.repeat([True, False], [len(same), len(different)])
    return equal_error(det_curve(np.concatenate([same, different]), of_one))

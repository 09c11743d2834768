"""Speaker profiles: the exemplars of each speaker, and many speakers as one matrix to score against."""

from __future__ import annotations

import hashlib
import weakref
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from streamer.errors import ConfigurationError
from streamer.speakers.lineage import Lineage, Moves
from streamer.speakers.names import few, name_key

Vector = NDArray[np.float32]


class Normaliser(Protocol):
    """The part of a cohort that a roster needs; see `streamer.speakers.backend.Cohort`."""

    def norms(self, embeddings: NDArray[np.floating]) -> Vector: ...


#: From this number of speakers on, torch computes the product with all of them.
MANY = 4096
#: Keeps the direction of an all-zero vector finite.
TINY = 1e-12


def unit(vectors: NDArray[np.floating]) -> Vector:
    """Vectors (..., dimension) scaled to length one, so that the product of two is their cosine."""
    return np.asarray(vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + TINY), np.float32)


def by_dimension(vectors: Vector) -> Vector:
    """The same vectors (many, dimension), stored column by column in memory.

    The product of a few rows with very many is then several times as fast, because no transposition is needed.
    """
    return np.asfortranarray(vectors)


@dataclass(frozen=True, slots=True)
class Exemplar:
    """The embedding (dimension,) of one recording, or a part of it, and where it comes from.

    speech_s: seconds of speech in it. quality: signal-to-noise ratio in dB, as measured by the coach.
    created: Unix time. source: a label for people, such as a file name.
    """

    embedding: Vector = field(repr=False)
    speech_s: float
    quality: float = 0.0
    created: float = 0.0
    source: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """An enrolled speaker under one model: `fingerprint` identifies the weights that computed the embeddings."""

    name: str
    fingerprint: str
    exemplars: tuple[Exemplar, ...]

    @property
    def speech_s(self) -> float:
        return sum(exemplar.speech_s for exemplar in self.exemplars)

    @property
    def centroid(self) -> Vector:
        """The mean direction of the exemplars, weighted by their seconds of speech: (dimension,), length one."""
        return centroid(self.exemplars)


def centroid(exemplars: Sequence[Exemplar]) -> Vector:
    """See `Profile.centroid`."""
    directions = unit(np.stack([exemplar.embedding for exemplar in exemplars]))
    seconds = np.array([[max(exemplar.speech_s, 0.1)] for exemplar in exemplars], np.float32)
    return unit((directions * seconds).sum(0))


class Roster:
    """Speakers to score against, as one matrix.

    names: (speakers). centroids: (speakers, dimension) float32, length one. speech_s: (speakers,) seconds of speech
    behind each.

    >>> roster = Roster(["ada", "bob"], np.eye(2), [10.0, 10.0])
    >>> roster.scores(np.array([[3.0, 0.0]])).tolist()
    [[1.0, 0.0]]
    """

    def __init__(
        self, names: Iterable[str], centroids: NDArray[np.floating], speech_s: Sequence[float] | NDArray[np.floating]
    ) -> None:
        self.names = tuple(names)
        self.centroids = by_dimension(unit(np.asarray(centroids, np.float32)))
        self.speech_s = np.asarray(speech_s, np.float32)
        self._norms: tuple[Normaliser, Vector] | None = None
        self._places: dict[str, int] | None = None
        self._in_order = False
        self._lineage: tuple[Lineage, int] | None = None
        self._moves: tuple[weakref.ref[Roster], Moves] | None = None
        if len(set(self.names)) != len(self.names):
            raise ConfigurationError("a roster holds each name once.")
        if self.centroids.ndim != 2 or not len(self.names) == len(self.centroids) == len(self.speech_s):
            raise ConfigurationError(
                f"a roster needs one centroid and one duration a name: {len(self.names)} names, centroids of shape "
                f"{self.centroids.shape}, {len(self.speech_s)} durations."
            )

    @classmethod
    def empty(cls, dimension: int) -> Roster:
        return cls((), np.zeros((0, dimension), np.float32), ())

    @classmethod
    def of(cls, profiles: Iterable[Profile], dimension: int) -> Roster:
        """A roster of these profiles, sorted by name."""
        ordered = sorted(profiles, key=lambda profile: profile.name)
        if not ordered:
            return cls.empty(dimension)
        made = cls(
            [profile.name for profile in ordered],
            np.stack([profile.centroid for profile in ordered]),
            [profile.speech_s for profile in ordered],
        )
        made._in_order = True
        return made

    @classmethod
    def of_parts(
        cls,
        names: Sequence[str],
        centroids: Vector,
        speech_s: Vector,
        *,
        norms: tuple[Normaliser, Vector] | None = None,
        in_order: bool = False,
        lineage: tuple[Lineage, int] | None = None,
    ) -> Roster:
        """A roster from parts that are known to be consistent, without any cost per speaker.

        centroids: of length one, and `by_dimension`. in_order: the names are sorted. lineage: the changes that led to
        this roster, and its version number.
        """
        made = cls.__new__(cls)
        made.names = tuple(names)
        made.centroids, made.speech_s = centroids, speech_s
        made._norms, made._places, made._in_order = norms, None, in_order
        made._lineage, made._moves = lineage, None
        return made

    @property
    def dimension(self) -> int:
        return int(self.centroids.shape[1])

    @cached_property
    def digest(self) -> str:
        """A digest that identifies the names, also in another process."""
        return hashlib.sha256("\n".join(self.names).encode()).hexdigest()

    def index(self, name: str) -> int | None:
        """The index of a name in exactly this spelling; None if nobody has it."""
        if self._in_order:
            place = bisect_left(self.names, name)
            return place if place < len(self.names) and self.names[place] == name else None
        if self._places is None:
            self._places = {name: place for place, name in enumerate(self.names)}
        return self._places.get(name)

    def moves_from(self, other: Roster) -> Moves:
        """The index of each speaker in `other`, and whose voice has changed since (all, if unknown)."""
        # Many streams ask for the same moves in turn. The cache does not keep the old roster alive.
        moves = self._moves
        if moves is None or moves[0]() is not other:
            moves = self._moves = (weakref.ref(other), self._find_moves(other))
        return moves[1]

    def _find_moves(self, other: Roster) -> Moves:
        mine, theirs = self._lineage, other._lineage
        if mine is not None and theirs is not None and mine[0] is theirs[0] and theirs[1] < mine[1]:
            known = mine[0].between(theirs[1], mine[1])
            if known is not None:
                return known
        found = (other.index(name) for name in self.names)
        places = np.array([-1 if place is None else place for place in found], np.int32)
        return Moves(places, np.ones(len(self), bool))

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"Roster({few(self.names)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Roster):
            return NotImplemented
        # Cheap checks first: the last one reads every number.
        return self is other or (
            len(self) == len(other)
            and np.array_equal(self.speech_s, other.speech_s)
            and self.names == other.names
            and np.array_equal(self.centroids, other.centroids)
        )

    __hash__ = None  # type: ignore[assignment]

    def scores(self, embeddings: NDArray[np.floating]) -> Vector:
        """Cosines of embeddings (..., dimension) with every speaker: (..., speakers), in one product."""
        directions = unit(embeddings)
        if len(self) < MANY:
            return np.asarray(directions @ self.centroids.T, np.float32)
        # For a few rows, numpy's product takes as long as each row alone; torch's reads the large matrix once.
        import torch

        found = torch.nn.functional.linear(torch.from_numpy(directions), torch.from_numpy(self.centroids))
        return np.asarray(found.numpy(), np.float32)

    def norms(self, cohort: Normaliser) -> Vector:
        """The speakers' norms (speakers, 2), see `Cohort.norms`; computed once."""
        if self._norms is None or self._norms[0] is not cohort:
            self._norms = cohort, cohort.norms(self.centroids)
        return self._norms[1]

    def restricted(self, names: Iterable[str]) -> Roster:
        """A roster of only these speakers, such as the people invited, in any spelling.

        Raises ConfigurationError if one of them is not enrolled.
        """
        found = {name: self.index(name) for name in names}
        if strange := {name_key(name): name for name, place in found.items() if place is None}:
            for place, name in enumerate(self.names):
                if (given := strange.pop(name_key(name), None)) is not None:
                    found[given] = place
        if missing := sorted(strange.values()):
            raise ConfigurationError(
                f"not enrolled: {few(missing)}; enrolled are {few(self.names)}. Enrol them with `streamer speakers "
                "enroll`, or leave them out of the roster."
            )
        return self.at(sorted({place for place in found.values() if place is not None}))

    def at(self, places: Sequence[int]) -> Roster:
        """A roster of only the speakers at these indices, which must be ascending."""
        kept = np.asarray(places, np.int64)
        return Roster.of_parts(
            [self.names[place] for place in places],
            by_dimension(self.centroids[kept]),
            self.speech_s[kept],
            norms=None if self._norms is None else (self._norms[0], self._norms[1][kept]),
            in_order=self._in_order,
        )

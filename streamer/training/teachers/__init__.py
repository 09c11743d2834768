"""The teachers: existing speaker encoders, whose embeddings of the training audio the network learns to match."""

from __future__ import annotations

from streamer.errors import ConfigurationError
from streamer.training.teachers.base import Teacher
from streamer.training.teachers.campplus import CamPlusPlusTeacher
from streamer.training.teachers.resemblyzer import Resemblyzer

__all__ = ["CamPlusPlusTeacher", "Resemblyzer", "Teacher", "teacher_of"]

TEACHERS: dict[str, type[Teacher]] = {kind.name: kind for kind in (CamPlusPlusTeacher, Resemblyzer)}


def teacher_of(name: str) -> type[Teacher]:
    """A teacher by its name in recipes. Raises ConfigurationError for any other name."""
    if name not in TEACHERS:
        raise ConfigurationError(f"there is no teacher {name!r}; there are {sorted(TEACHERS)}.")
    return TEACHERS[name]

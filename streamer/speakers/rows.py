"""Exemplars as the rows of the store's tables, and back."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import numpy as np
from sqlalchemy import Row

from streamer.errors import ConfigurationError
from streamer.speakers.profiles import Exemplar, Profile
from streamer.speakers.tables import exemplars


def grouped(rows: Iterable[Row[Any]]) -> list[Profile]:
    """Profiles from rows of names and exemplars."""
    found: dict[tuple[str, str], list[Exemplar]] = {}
    for row in rows:
        found.setdefault((row.name, row.fingerprint), []).append(exemplar_of(row))
    return [Profile(name, model, tuple(heard)) for (name, model), heard in found.items()]


def columns() -> Iterable[Any]:
    return [column for column in exemplars.c if column.name not in ("id", "speaker")]


def row_of(exemplar: Exemplar) -> dict[str, Any]:
    embedding = np.asarray(exemplar.embedding, "<f4")
    if embedding.ndim != 1 or not np.isfinite(embedding).all():
        raise ConfigurationError("an exemplar's embedding must be a finite vector.")
    return {
        "embedding": embedding.tobytes(),
        "speech_s": float(exemplar.speech_s),
        "quality": float(exemplar.quality),
        "created": float(exemplar.created or time.time()),
        "source": exemplar.source,
    }


def exemplar_of(row: Row[Any]) -> Exemplar:
    embedding = np.frombuffer(row.embedding, "<f4").astype(np.float32)
    return Exemplar(embedding, row.speech_s, row.quality, row.created, row.source)

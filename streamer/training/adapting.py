"""Adapt a model to people, from a folder with a folder for each: embed, adapt, and put the result into a model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from streamer.audio.stream_file import MonoFile
from streamer.engine.incremental import IncrementalModel
from streamer.errors import AudioError, ConfigurationError
from streamer.models.model import Model
from streamer.speakers.backend import Backend
from streamer.speakers.names import clean_name
from streamer.training.adapt import (
    LEAST_PEOPLE,
    LEAST_RECORDINGS,
    Adapted,
    People,
    Take,
    WindowErrors,
    adapt,
    measure,
    parted,
    threshold_moved,
    unchanged,
)

#: The length of the windows that errors are counted on, and the least speech in one, in seconds.
WINDOW_S, LEAST_SPEECH_S = 3.0, 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """before, after: errors on the held-out recordings. people, learnt, held_out: number of people and of
    recordings."""

    adapted: Adapted
    before: WindowErrors
    after: WindowErrors
    people: int
    learnt: int
    held_out: int


def check_adaptable(model: Model) -> nn.Linear:
    """The last layer of a network. Raises ConfigurationError if it is not linear, or the model has no cohort."""
    layer = getattr(model.network, "embedding", None)
    if not isinstance(layer, nn.Linear) or model.cohort is None or "tracking" not in model.card.details:
        raise ConfigurationError(
            f"the model {model.card.name!r} cannot be adapted: that needs a last linear layer, a cohort and its "
            "calibration, as campplus-live and sincnet have."
        )
    return layer


def folders(root: Path) -> dict[str, list[Path]]:
    """The recordings of each person, keyed by the name of their folder in `root`.

    Raises ConfigurationError if too few people have enough recordings.
    """
    if not root.is_dir():
        raise ConfigurationError(
            f"'{root}' is not a folder; it must hold a folder for each person, with recordings in it."
        )
    found = {
        clean_name(folder.name): sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
        for folder in sorted(root.iterdir())
        if folder.is_dir() and not folder.name.startswith(".")
    }
    enough = {name: files for name, files in found.items() if len(files) >= LEAST_RECORDINGS}
    if len(enough) < LEAST_PEOPLE:
        raise ConfigurationError(
            f"'{root}' has {len(enough)} folders with {LEAST_RECORDINGS} recordings or more; at least {LEAST_PEOPLE} "
            "people are needed, a third of whose recordings show whether it helped."
        )
    return enough


def heard(
    model: Model, files: Mapping[str, list[Path]], say: Callable[[Path, str], None] = lambda path, problem: None
) -> dict[str, list[Take]]:
    """Every recording as windows. `say` is called for each recording with its problem, which is empty for none.

    Raises ConfigurationError if too few recordings are usable.
    """
    engine = IncrementalModel(model)
    people: dict[str, list[Take]] = {}
    for name, paths in files.items():
        for path in paths:
            try:
                windows = list(_windows(engine, path))
            except AudioError as error:
                say(path, str(error))
                continue
            say(path, "" if windows else f"less than {LEAST_SPEECH_S:g} s of speech")
            if windows:
                seconds, embeddings = zip(*windows, strict=True)
                people.setdefault(name, []).append(Take(path.name, np.array(seconds), np.stack(embeddings)))
    people = {name: takes for name, takes in people.items() if len(takes) >= LEAST_RECORDINGS}
    if len(people) < LEAST_PEOPLE:
        raise ConfigurationError(
            f"{len(people)} people have {LEAST_RECORDINGS} recordings with speech or more; {LEAST_PEOPLE} are needed."
        )
    return people


def _windows(engine: IncrementalModel, path: Path) -> Iterator[tuple[float, np.ndarray]]:
    stream = engine.open((WINDOW_S,), WINDOW_S)
    steps = []
    with MonoFile(path) as mono:
        for samples in mono:
            steps += stream.push(samples)
    for step in [*steps, *stream.finish()]:
        for window in step.windows:
            if window.speech_s >= LEAST_SPEECH_S:
                yield window.speech_s, window.embedding


def tried(model: Model, people: People) -> Outcome:
    """Adapt to a part of the recordings, and measure the errors on the others, which the adaptation does not use."""
    learn, held_out = parted(people)
    backend = Backend.of(model)
    found = adapt(learn, backend)
    before = measure(learn, held_out, unchanged(backend, model.dimension))
    takes = [sum(map(len, part.values())) for part in (learn, held_out)]
    return Outcome(found, before, measure(learn, held_out, found), len(people), takes[0], takes[1])


def put_in(model: Model, outcome: Outcome, people: People, name: str) -> Model:
    """A copy of `model` whose last layer gives transformed embeddings, with the calibration of their scores.

    It is the adaptation that was measured, so the held-out recordings were not used for it.
    """
    found = outcome.adapted
    network = copy.deepcopy(model.network)
    layer = check_adaptable(Model(network, model.card, model.cohort))
    transform = torch.from_numpy(found.transform)
    with torch.no_grad():
        layer.weight.copy_((transform @ layer.weight.double().cpu()).to(layer.weight))
        layer.bias.copy_((transform @ layer.bias.double().cpu()).to(layer.bias))
    details = {
        key: value for key, value in model.card.details.items() if key not in ("scores", "calibration", "guests")
    }
    details["tracking"] = found.backend.calibration.to_dict()
    if found.backend.guests is not None:
        details["guests"] = found.backend.guests.to_dict()
    details["adapted"] = {
        "from": model.fingerprint,
        "share": found.share,
        "people": outcome.people,
        "recordings": outcome.learnt,
        "before": _told(outcome.before),
        "after": _told(outcome.after),
    }
    threshold = model.card.threshold
    if threshold is not None:
        threshold = round(threshold + threshold_moved(parted(people)[0], found.transform), 4)
    card = replace(model.card, name=name, threshold=threshold, details=details)
    assert model.cohort is not None
    return Model(network, card, model.cohort @ found.transform.T.astype(np.float32))


def _told(errors: WindowErrors) -> dict[str, float]:
    return {name: round(getattr(errors, name), 4) for name in ("missed", "strangers", "eer")}

"""Choose the tracker's settings: `python -m streamer.training.tracking RECIPE [MODEL]`.

The search uses conversations of voices outside the training data, as they are and with nobody enrolled. It changes one
setting at a time to the best of its values, until a round changes nothing. A value has to be better in both halves of
the conversations, because an advantage in a dozen of them may be luck.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from streamer.engine.incremental import IncrementalModel
from streamer.evaluation.scoring import Float
from streamer.evaluation.stream import ComputedConversation, StreamReport, together, track
from streamer.models.model import Model
from streamer.speakers.backend import Backend
from streamer.speakers.profiles import Roster
from streamer.speakers.settings import TrackerSettings
from streamer.training.recipe import Recipe
from streamer.training.rehearsal import rehearse

VALUES: dict[str, tuple[float, ...]] = {
    "naming_weight": (0.7, 1.0, 1.3, 1.6),
    "unknown_prior": (0.1, 0.2, 0.3, 0.4, 0.5),
    "commit": (0.35, 0.45, 0.55, 0.65),
    "relabel": (0.5, 0.6, 0.7, 0.8),
    "switch": (0.7, 0.8, 0.9, 0.95),
    "short_rate": (0.4, 0.7, 1.0, 1.4),
    "long_rate": (0.0, 0.1, 0.2, 0.3, 0.4),
    "stay_s": (2.0, 4.0, 8.0, 12.0, 16.0),
    "guest_merge": (1.0, 2.0, 4.0),
    "guest_speech_s": (1.0, 1.5, 2.5),
    "evidence_s": (0.3, 0.5, 0.8),
    "min_silence_s": (0.4, 0.6, 0.8),
    "resume": (0.2, 0.35, 0.5),
}
ROUNDS = 3
LEAST = 1e-4


def cost(reports: Sequence[StreamReport]) -> float:
    """The cost to minimise. It adds up the wrong time (final and on display), turns that never got the right name, and
    name changes; strangers under an enrolled name, which weigh more than their time, because no name is better than a
    wrong one; and the diarisation error, the only part that counts two strangers merged into one."""
    each = [
        r.error
        + r.shown_error
        + 0.5 * (1 - np.nan_to_num(r.rejected, nan=1.0))
        + 0.5 * r.never
        + 0.02 * r.flips_per_minute
        + r.der
        for r in reports
    ]
    return float(np.mean(each))


def with_nobody_enrolled(computed: dict[str, list[ComputedConversation]]) -> dict[str, list[ComputedConversation]]:
    """The same conversations with an empty roster: everybody is a guest."""
    return {
        f"{name}, nobody enrolled": [replace(one, roster=Roster.empty(one.roster.dimension)) for one in group]
        for name, group in computed.items()
    }


def choose(
    computed: dict[str, list[ComputedConversation]],
    model: Model,
    settings: TrackerSettings,
    values: dict[str, tuple[float, ...]],
) -> TrackerSettings:
    """The best settings of a coordinate search from the given settings."""
    backend = Backend.of(model)

    halves = [{name: group[half::2] for name, group in computed.items()} for half in range(2)]

    def judged(tried: TrackerSettings) -> Float:
        return np.array(
            [
                cost([together([track(one, model, backend, tried) for one in group]) for group in half.values()])
                for half in halves
            ]
        )

    best = judged(settings)
    for _ in range(ROUNDS):
        before = settings
        for name, candidates in values.items():
            for value in candidates:
                tried = replace(settings, **{name: value})  # type: ignore[arg-type]
                found = judged(tried)
                if (found < best - LEAST).all():
                    best, settings = found, tried
                    typer.echo(f"{best.mean():.4f} {name}={value}")
        if settings == before:
            break
    return settings


def tune(
    recipe: Annotated[Path, typer.Argument(help="The recipe of the run.", dir_okay=False)],
    model: Annotated[str, typer.Argument(help="The weights to choose settings for.")] = "sincnet",
    count: Annotated[int, typer.Option(help="Conversations of each group.", min=2)] = 24,
    seed: Annotated[int, typer.Option(help="Seed of the first conversation.")] = 50_000,
) -> None:
    """Print the settings with the lowest cost for the recipe's left-out speakers."""
    torch.set_num_threads(1)
    engine = IncrementalModel(Model.from_pretrained(model))
    computed = rehearse(engine, Recipe.load(recipe).data, count, seed)
    before = Backend.of(engine.model).settings
    after = choose(computed | with_nobody_enrolled(computed), engine.model, before, VALUES)
    for name, value in after.to_dict().items():
        if value != getattr(before, name):
            typer.echo(f"{name}: {getattr(before, name)} -> {value}")


if __name__ == "__main__":
    typer.run(tune)

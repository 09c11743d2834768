"""A training recipe: all settings that determine the weights, in one TOML file."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from streamer.errors import ConfigurationError
from streamer.models.architecture import Architecture
from streamer.models.model import Model
from streamer.training.augmentation import Chances


@dataclass(frozen=True, slots=True)
class Data:
    """Where the audio is, and which teacher is used. `manifest` lists the audio relative to its folder.

    speeds, drawn_voices, drawn_seed: the voices of each speaker, see `voices_of`.
    frame_voices: the number of these voices, from the first, for which the teacher's frames are targets too.
    """

    manifest: str
    cache: str
    teacher: str = "campplus"
    speeds: list[float] = field(default_factory=lambda: [1.0, 0.9, 1.1])
    drawn_voices: int = 0
    drawn_seed: int = 3
    frame_voices: int = 0
    rooms: int = 300
    noise_minutes: float = 30.0
    without: list[str] = field(default_factory=list)
    held_out_every: int = 25


@dataclass(frozen=True, slots=True)
class Loss:
    """Weights of the losses. `margin` is the final weight; it rises to that linearly over `margin_ramp` of the run.

    frames: for the teacher's frames, with the voices of `Data.frame_voices`.
    """

    distillation: float = 1.0
    similarity: float = 5.0
    margin: float = 0.1
    margin_from: float = 0.1
    margin_ramp: float = 0.3
    speech: float = 0.2
    frames: float = 1.0
    utterance_share: float = 0.4
    shrinkage: float = 1.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """The length of the run and its rates. The learning rate rises over `warm_up` of the run, and falls as a cosine to
    1 % of its peak.

    hours: the length of a run, by the clock; steps: if given, the length in steps instead.
    seconds: lengths of crops, one drawn for each step.
    optimiser: for the network's matrices, "adamw" or "muon"; see `optimisers_of`.
    half: use bfloat16 where that is safe. It is faster on GPUs, and on most CPUs that have it.
    """

    hours: float = 2.0
    steps: int = 0
    batch: int = 64
    noise_batch: int = 4
    half: bool = False
    seconds: list[float] = field(default_factory=lambda: [1.2, 2.0, 2.0, 2.0, 3.0])
    optimiser: str = "adamw"
    rate: float = 2e-3
    warm_up: float = 0.04
    weight_decay: float = 0.02
    average: float = 0.998
    save_every: int = 100
    evaluate_every: int = 400
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Recipe:
    """One training run.

    start: a model to begin with ("sincnet", or a safetensors file) instead of random weights.
    start_share: the share of the start's weights in the exported weights; the rest is the run's. An average of both
        recognises more voices than either (WiSE-FT, Wortsman et al., 2022). 0 without a start.
    refit: fit the last layer to the teacher before the first step, because it was trained for other targets.
    """

    name: str
    folder: str
    data: Data
    architecture: Architecture
    start: str = ""
    start_share: float = 0.0
    refit: bool = False
    loss: Loss = field(default_factory=Loss)
    schedule: Schedule = field(default_factory=Schedule)
    augmentation: Chances = field(default_factory=Chances)

    def beginning(self) -> Model | None:
        """The model to begin with; None for random weights."""
        return Model.from_pretrained(os.path.expanduser(self.start)) if self.start else None

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Read a recipe. Raises ConfigurationError for an unknown key."""
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        parts = {
            "data": Data,
            "loss": Loss,
            "schedule": Schedule,
            "augmentation": Chances,
            "architecture": Architecture,
        }
        values: dict[str, Any] = {
            key: _read(parts[key], value, key) if key in parts else value for key, value in content.items()
        }
        recipe: Recipe = _read(cls, values, "the recipe")
        return recipe


def _read(kind: Any, values: dict[str, Any], where: str) -> Any:
    unknown = set(values) - {entry.name for entry in fields(kind)}
    if unknown:
        raise ConfigurationError(f"{where} has no setting {sorted(unknown)}; it has {[e.name for e in fields(kind)]}")
    try:
        return kind(**{key: tuple(v) if key == "snr_db" else v for key, v in values.items()})
    except TypeError as error:
        raise ConfigurationError(f"{where} lacks a setting: {error}") from error

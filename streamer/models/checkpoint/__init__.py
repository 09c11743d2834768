"""Loading and saving models. No code in a checkpoint ever runs."""

from __future__ import annotations

import os
from pathlib import Path

from streamer.models.checkpoint import native
from streamer.models.checkpoint.native import save
from streamer.models.model import Model, Source

__all__ = ["load", "save"]

DEFAULT_WEIGHTS = Path(__file__).parents[1] / "weights" / "default.safetensors"


def load(
    source: Source,
    *,
    token: str | bool | None = None,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    subfolder: str | None = None,
) -> Model:
    """Load a model; see `Model.from_pretrained`."""
    if source == "default":
        return native.load(DEFAULT_WEIGHTS)
    return native.load(Path(source))  # type: ignore[arg-type]

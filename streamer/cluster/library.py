"""Imports Ray, which is optional."""

from __future__ import annotations

import os
from typing import Any

from streamer.errors import MissingDependency


def ray_or_why() -> Any:
    """Ray, with its usage statistics disabled. Raises MissingDependency if it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise MissingDependency(f"no Ray ({error}): pip install 'speaker-streamer[ray]'.") from error
    return ray

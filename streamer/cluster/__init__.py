"""Past one machine: rooms on a Ray cluster (`streamer.cluster.app`), and a corpus at once (`embed`).

Nothing here imports Ray before it is asked for anything: `pip install 'speaker-streamer[ray]'`.
"""

from __future__ import annotations

import os
from typing import Any

from streamer.errors import MissingDependency


def __getattr__(name: str) -> Any:
    if name in ("embed", "Embedded"):
        from streamer.cluster import corpus

        return getattr(corpus, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def ray_or_why() -> Any:
    """Ray, told to phone nobody. Raises MissingDependency where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise MissingDependency(f"no Ray ({error}): pip install 'speaker-streamer[ray]'.") from error
    return ray

"""Past one machine: rooms on a Ray cluster (`streamer.cluster.app`), and a corpus at once (`embed`).

Nothing here imports Ray before it is asked for anything: `pip install 'speaker-streamer[ray]'`.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name in ("embed", "Embedded"):
        from streamer.cluster import corpus

        return getattr(corpus, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

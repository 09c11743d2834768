"""More than one machine: a server on a Ray cluster (`streamer.cluster.app`), and embedding of a corpus (`embed`).

Ray is imported only when something here is used: `pip install 'speaker-streamer[ray]'`.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name in ("embed", "Embedded"):
        from streamer.cluster import corpus

        return getattr(corpus, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

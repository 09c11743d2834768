"""Real-time streaming speaker embeddings: live audio in, who is speaking out.

Importing this package is cheap: torch and the rest are imported when a name that needs them is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyannote.core import Segment, SlidingWindow, SlidingWindowFeature

    from streamer.engine.engine import Engine
    from streamer.engine.incremental import IncrementalModel
    from streamer.engine.window import Step, Window
    from streamer.inference import Inference
    from streamer.models.model import Model

__version__ = "0.1.0"

_HOMES = {
    "Engine": "streamer.engine.engine",
    "IncrementalModel": "streamer.engine.incremental",
    "Inference": "streamer.inference",
    "Model": "streamer.models.model",
    "Segment": "pyannote.core",
    "SlidingWindow": "pyannote.core",
    "SlidingWindowFeature": "pyannote.core",
    "Step": "streamer.engine.window",
    "Window": "streamer.engine.window",
}

__all__ = [
    "Engine",
    "IncrementalModel",
    "Inference",
    "Model",
    "Segment",
    "SlidingWindow",
    "SlidingWindowFeature",
    "Step",
    "Window",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'streamer' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

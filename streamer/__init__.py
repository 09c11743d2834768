"""Real-time streaming speaker embeddings: live audio in, who is speaking out.

Importing this package is cheap. torch and other large packages are imported when a name that needs them is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyannote.core import Segment, SlidingWindow, SlidingWindowFeature

    from streamer.audio.files import read_audio
    from streamer.audio.ring import RingBuffer
    from streamer.audio.sources import FileSource, IteratorSource, MicrophoneSource, PipeSource, UrlSource
    from streamer.engine.engine import Engine
    from streamer.engine.incremental import IncrementalModel
    from streamer.engine.window import Step, Window
    from streamer.inference import Inference
    from streamer.meeting.meeting import Meeting
    from streamer.models.model import Model
    from streamer.session import Session
    from streamer.speakers.library import Speakers

__version__ = "0.1.0"

_HOMES = {
    "Engine": "streamer.engine.engine",
    "FileSource": "streamer.audio.sources",
    "IncrementalModel": "streamer.engine.incremental",
    "Inference": "streamer.inference",
    "IteratorSource": "streamer.audio.sources",
    "Meeting": "streamer.meeting.meeting",
    "MicrophoneSource": "streamer.audio.sources",
    "Model": "streamer.models.model",
    "PipeSource": "streamer.audio.sources",
    "RingBuffer": "streamer.audio.ring",
    "Segment": "pyannote.core",
    "Session": "streamer.session",
    "SlidingWindow": "pyannote.core",
    "SlidingWindowFeature": "pyannote.core",
    "Speakers": "streamer.speakers.library",
    "Step": "streamer.engine.window",
    "UrlSource": "streamer.audio.sources",
    "Window": "streamer.engine.window",
    "read_audio": "streamer.audio.files",
}

__all__ = [
    "Engine",
    "FileSource",
    "IncrementalModel",
    "Inference",
    "IteratorSource",
    "Meeting",
    "MicrophoneSource",
    "Model",
    "PipeSource",
    "RingBuffer",
    "Segment",
    "Session",
    "SlidingWindow",
    "SlidingWindowFeature",
    "Speakers",
    "Step",
    "UrlSource",
    "Window",
    "__version__",
    "read_audio",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'streamer' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

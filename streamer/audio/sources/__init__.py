"""Sources of audio: files, microphones, pipes, iterators, addresses. Each is a `streamer.audio.chunks.Source`."""

from streamer.audio.chunks import InputGap
from streamer.audio.sources.base import BaseSource, InputFormat
from streamer.audio.sources.file import FileSource
from streamer.audio.sources.iterator import IteratorSource
from streamer.audio.sources.microphone import InputDevice, MicrophoneSource, list_devices
from streamer.audio.sources.pipe import PipeSource
from streamer.audio.sources.split import split_channels
from streamer.audio.sources.stdin import StandardInputSource
from streamer.audio.sources.url import UrlSource

__all__ = [
    "BaseSource",
    "FileSource",
    "InputDevice",
    "InputFormat",
    "InputGap",
    "IteratorSource",
    "MicrophoneSource",
    "PipeSource",
    "StandardInputSource",
    "UrlSource",
    "list_devices",
    "split_channels",
]

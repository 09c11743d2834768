"""PortAudio through sounddevice: the interface that is used, loaded on first use, and the list of input devices."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

from streamer.errors import ConfigurationError, MicrophoneUnavailable, MissingDependency


class InputStream(Protocol):
    """A `sounddevice.InputStream`."""

    @property
    def active(self) -> bool: ...

    def start(self) -> None: ...

    def close(self, ignore_errors: bool = True) -> None: ...


class PortAudio(Protocol):
    """The part of the module `sounddevice` that is used."""

    PortAudioError: type[Exception]
    InputStream: Callable[..., InputStream]

    def query_devices(self, device: int | str | None = None, kind: str | None = None) -> Any: ...

    def _initialize(self) -> None: ...

    def _terminate(self) -> None: ...


@dataclass(frozen=True, slots=True)
class InputDevice:
    """A microphone or another input. channels: at most. rate: its default, Hz. default: whether it is the default."""

    index: int
    name: str
    channels: int
    rate: int
    default: bool = False


def load_portaudio() -> PortAudio:
    """The module sounddevice. Raises MissingDependency, with what to install, if it or PortAudio is missing."""
    try:
        return cast(PortAudio, importlib.import_module("sounddevice"))
    except ImportError as error:
        raise MissingDependency("the microphone needs the package sounddevice: pip install sounddevice.") from error
    except OSError as error:
        raise MissingDependency(
            f"the microphone needs the PortAudio library ({error}): on Debian or Ubuntu `apt install libportaudio2`, "
            "on Fedora `dnf install portaudio`, on macOS `brew install portaudio`."
        ) from error


def list_devices(portaudio: PortAudio | None = None) -> list[InputDevice]:
    """The input devices, possibly none. Raises MissingDependency without PortAudio."""
    pa = portaudio or load_portaudio()
    try:
        chosen = pa.query_devices(kind="input")["index"]
    except (ValueError, pa.PortAudioError):  # no default input
        chosen = None
    return [_described(info, chosen) for info in pa.query_devices() if info["max_input_channels"] > 0]


def find_device(pa: PortAudio, device: int | str | None) -> InputDevice:
    """The device with this index, or this part of a name, or the default one.

    Raises MicrophoneUnavailable, which lists the devices, if no device or more than one matches.
    """
    if isinstance(device, bool) or not isinstance(device, int | str | None):
        raise ConfigurationError(f"device={device!r}: give its index, a part of its name, or None for the default.")
    try:
        info = pa.query_devices(device, "input")
    except (ValueError, pa.PortAudioError) as error:
        there = ", ".join(f"{known.index} {known.name!r}" for known in list_devices(pa)) or "none"
        wanted = "default input device" if device is None else f"input device {device!r}"
        raise MicrophoneUnavailable(f"no {wanted} ({error}). Input devices: {there}.") from error
    return _described(info, None)


def _described(info: Any, default: int | None) -> InputDevice:
    rate = round(info["default_samplerate"])
    return InputDevice(info["index"], info["name"], info["max_input_channels"], rate, info["index"] == default)

"""Checks before torch is imported, which takes seconds: of files, names, devices, ports.

Each check raises the error that the work itself would raise later. Checks that would be slow, or that can be made only
once (of a pipe, of a server), are left to the work.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Sequence
from pathlib import Path

from streamer import plugins
from streamer.errors import ConfigurationError

STANDARD_INPUT = "-"
#: A file up to this size is opened in the same way as for the work. Of a larger one only the beginning is checked,
#: because some formats have to be searched as a whole.
OPENED_BYTES = 8 << 20
_HEAD_BYTES = 4096
_DEVICE = re.compile(r"auto|(cpu|cuda|mps|xpu)(:\d+)?")


def check_recordings(files: Sequence[Path | str]) -> None:
    """Raises an AudioError for a recording that does not exist, may not be read, or is not audio."""
    for file in files:
        if str(file) != STANDARD_INPUT and plugins.source_of(file) is None:
            _check_recording(Path(file))


def _check_recording(path: Path) -> None:
    from streamer.audio.decode import check_path, open_decoder

    check_path(path)
    if path.is_file() and path.stat().st_size <= OPENED_BYTES:
        open_decoder(path).close()
    elif path.is_file():
        _check_head(path)


def _check_head(path: Path) -> None:
    from streamer.audio.parts.sniff import other_kind
    from streamer.errors import AudioUnreadable

    with path.open("rb") as file:
        if (kind := other_kind(file.read(_HEAD_BYTES))) is not None:
            raise AudioUnreadable(f"{str(path)!r} is {kind}, not audio.")


def check_files(**files: Path | None) -> None:
    """Raises FileNotFoundError for a file that does not exist. files: description -> path."""
    for what, path in files.items():
        if path is not None and not path.exists():
            raise FileNotFoundError(
                errno.ENOENT, f"there is no such {what.replace('_', ' ')}; check the path", str(path)
            )


def check_model(model: str, device: str = "auto", revision: str | None = None) -> None:
    """Raises a CheckpointError for a missing or invalid model, ConfigurationError for an unknown device.

    Models on the hub are not checked; torch checks for a GPU later.
    """
    from streamer.models import places

    places.check(model, revision)
    check_device(device)


def check_device(device: str) -> None:
    """Raises ConfigurationError for an unknown device name."""
    if _DEVICE.fullmatch(device) is None:
        raise ConfigurationError(
            f"device={device!r} is not a device; use auto, cpu, cuda, cuda:N or mps. The microphone is --microphone."
        )


def check_store(
    store: str | os.PathLike[str] | None, roster: Sequence[str] | None = None, model: str | None = None
) -> None:
    """Raises a StoreError for a store that cannot be opened, ConfigurationError for a name that is not in the roster of
    the store, or not enrolled under the model; that is checked for models of this package, as others must be loaded.

    No store is created: one that does not exist has no speakers.
    """
    from streamer.models.places import fingerprint_of
    from streamer.speakers import elsewhere, glance

    path = glance.path_of(store)
    names = None if path is None or not glance.is_well(path) else glance.names_in(path)
    if roster and path is not None and not path.exists() and names is not None:
        glance.require(store)
    if names is None:
        names = _opened(store, everybody=bool(roster))
    if roster:
        glance.check_roster(roster, names)
        if path is not None and model is not None and (fingerprint := fingerprint_of(model)) is not None:
            elsewhere.check_roster(glance.only_under_others(path, fingerprint), roster)


def _opened(store: str | os.PathLike[str] | None, everybody: bool) -> list[str]:
    from streamer.speakers.store import SpeakerStore

    with SpeakerStore(Path(store) if isinstance(store, os.PathLike) else store) as opened:
        return opened.names() if everybody else []


def check_step(step_s: float) -> None:
    """Raises ConfigurationError for an invalid step."""
    from streamer.engine.settings import steps_in
    from streamer.speakers.settings import DURATIONS

    for duration in DURATIONS:
        steps_in(duration, step_s)


def check_microphone(device: int | str | None) -> None:
    """Raises MicrophoneUnavailable, which lists the microphones, or MissingDependency without PortAudio."""
    from streamer.audio.sources.portaudio import find_device, load_portaudio

    find_device(load_portaudio(), microphone(device) if isinstance(device, str) else device)


def microphone(device: str | None) -> int | str | None:
    """The device for `--microphone`: a number is an index, anything else a part of a name."""
    return int(device) if device is not None and device.isdigit() else device


def check_port(host: str, port: int, options: str = "--port or --host") -> None:
    """Raises ConfigurationError for an address that is not free to listen on. options: those that give another one."""
    if not port:
        return
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            with socket.socket(family, kind, protocol) as trial:
                if os.name == "posix":  # as asyncio does: the port of a server that has just ended is free
                    trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                trial.bind(address)
    except OSError as error:
        raise port_taken(host, port, error, options) from error


def port_taken(host: str, port: int, error: OSError, options: str = "--port or --host") -> ConfigurationError:
    return ConfigurationError(f"port {port} on {host} can't be listened on ({error}); choose another with {options}.")

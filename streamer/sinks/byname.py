"""The sinks of this package by name, for `--sink NAME=ARGUMENT`. To add one, write its module and list it here."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module

from streamer import plugins
from streamer.errors import ConfigurationError
from streamer.sinks.base import Sink

#: Sinks that write a file, with its path as their argument: name -> module and class.
FILES = {
    "audacity": "streamer.sinks.audacity:AudacityLabels",
    "jsonl": "streamer.sinks.jsonl:JsonLines",
    "minutes": "streamer.sinks.minutes:Minutes",
    "srt": "streamer.sinks.subrip:SubRip",
    "vtt": "streamer.sinks.webvtt:WebVtt",
}
#: Sinks with another argument.
OTHERS = {"webhook": "streamer.sinks.webhook:Webhook"}


def make(given: str) -> Sink:
    """The sink for NAME=ARGUMENT or NAME: one of this package, or one of an installed plugin.

    Raises ConfigurationError for an unknown name, and OSError for a file that cannot be written.
    """
    name, _, argument = given.partition("=")
    if (place := (FILES | OTHERS).get(name)) is None:
        sink: Sink = plugins.made("sinks", name, argument)
        return sink
    if not argument:
        raise ConfigurationError(f"--sink {name} needs an argument: --sink {name}=... .")
    module, _, kind = place.partition(":")
    sink = getattr(import_module(module), kind)(argument)
    return sink


def files(given: Iterable[str]) -> dict[str, str]:
    """The files that these sinks write, by the names that the user gave them."""
    parts = [each.partition("=") for each in given]
    return {f"--sink {name}={path}": path for name, _, path in parts if name in FILES and path}

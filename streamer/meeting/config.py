"""A meeting as a TOML file: microphones, the roster, and outputs.

docs/meeting.md lists every field.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from streamer.errors import ConfigurationError
from streamer.meeting.crosstalk import CrossTalkSettings
from streamer.speakers.settings import STEP_S, TrackerSettings, check

#: Former names of fields, which are still accepted.
OLD_NAMES = {("MeetingConfig", "speakers"): "store", ("Input", "device"): "microphone"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One input, with one channel or several. Exactly one of `file`, `microphone` and `url` is given.

    channels: the names of its channels, in order; without them, the channels are mixed into one microphone.
    gain_db: added to the levels of its channels before levels are compared.
    """

    file: str = ""
    microphone: str = ""
    url: str = ""
    channels: tuple[str, ...] = ()
    gain_db: float = 0.0
    rate: int = 0

    def __post_init__(self) -> None:
        given = [name for name in ("file", "microphone", "url") if getattr(self, name)]
        if len(given) != 1:
            raise ConfigurationError(
                f"an input has one of file, microphone and url; this has {', '.join(given) or 'none'}."
            )

    @property
    def live(self) -> bool:
        return not self.file

    @property
    def place(self) -> str:
        return self.file or self.microphone or self.url


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """See Webhook. secret_env: the environment variable that holds the secret, so that the file need not."""

    url: str
    secret_env: str = ""
    batch: int = 50
    every_s: float = 1.0
    capacity: int = 10_000

    @property
    def secret(self) -> str | None:
        """Raises ConfigurationError if the variable is named but not set."""
        if not self.secret_env:
            return None
        if not (value := os.environ.get(self.secret_env)):
            raise ConfigurationError(f"webhook: the environment variable {self.secret_env} is not set.")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class MeetingSinks:
    """Files to write, relative to the configuration; empty: not written."""

    jsonl: str = ""
    rttm: str = ""
    vtt: str = ""
    srt: str = ""
    audacity: str = ""
    minutes: str = ""
    webhook: Hook | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeetingConfig:
    """A meeting. File names are relative to `folder`, the folder of the configuration `file`.

    tracker: settings that override those of the model, by their names in `TrackerSettings`.
    """

    title: str = "Meeting"
    model: str = "default"
    device: str = "auto"
    store: str = ""
    roster: tuple[str, ...] = ()
    step_s: float = STEP_S
    keep_guests: bool = False
    inputs: tuple[Input, ...] = ()
    sinks: MeetingSinks = field(default_factory=MeetingSinks)
    tracker: Mapping[str, Any] = field(default_factory=dict)
    crosstalk: CrossTalkSettings = field(default_factory=CrossTalkSettings)
    folder: Path = Path()
    file: Path | None = None

    @property
    def store_location(self) -> str | Path | None:
        """The speaker store: a URL, a file, or None for the user's default store."""
        if not self.store:
            return None
        return self.store if "://" in self.store else self.path(self.store)

    def path(self, name: str) -> Path:
        """A file of the configuration: relative to its folder."""
        return self.folder / name


def load(path: Path) -> MeetingConfig:
    """Raises ConfigurationError, which names the table and the field, for an unknown field or a wrong type."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: not a TOML file ({error}).") from None
    try:
        return replace(_config(values, path.parent), file=path)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _config(values: Mapping[str, Any], folder: Path) -> MeetingConfig:
    rest = dict(values)
    inputs = rest.pop("input", [])
    if not isinstance(inputs, list) or not inputs:
        raise ConfigurationError("there is no [[input]]: give one for each sound card, file or address.")
    sinks = _table(rest, "sinks")
    hook = _table(sinks, "webhook")
    if hook and "url" not in hook:
        raise ConfigurationError("[sinks.webhook] has no url.")
    tracker = _checked(TrackerSettings, _table(rest, "tracker"), "[tracker]")
    check(tracker)
    crosstalk = _table(rest, "crosstalk")
    taken = {"inputs", "sinks", "tracker", "crosstalk", "folder", "file"}
    return MeetingConfig(
        **_checked(MeetingConfig, rest, "the top", without=taken),
        inputs=tuple(Input(**_checked(Input, item, "[[input]]")) for item in inputs),
        sinks=MeetingSinks(
            **_checked(MeetingSinks, sinks, "[sinks]", without={"webhook"}),
            webhook=Hook(**_checked(Hook, hook, "[sinks.webhook]")) if hook else None,
        ),
        tracker=tracker,
        crosstalk=CrossTalkSettings(**_checked(CrossTalkSettings, crosstalk, "[crosstalk]")),
        folder=folder,
    )


def _table(values: dict[str, Any], name: str) -> dict[str, Any]:
    table = values.pop(name, {})
    if not isinstance(table, dict):
        raise ConfigurationError(f"{name} must be a table.")
    return dict(table)


TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "bool": (bool,),
    "float": (int, float),
    "tuple[str, ...]": (list,),
}


def _checked(kind: type, values: Mapping[str, Any], where: str, without: set[str] | None = None) -> dict[str, Any]:
    """The values of a table, each of its field's type."""
    known = {item.name: str(item.type) for item in fields(kind) if item.name not in (without or set())}
    checked: dict[str, Any] = {}
    for given, value in values.items():
        name = OLD_NAMES.get((kind.__name__, given), given)
        if name not in known:
            raise ConfigurationError(f"{where}: {name} is not known; there are {', '.join(known)}.")
        wanted = TYPES[known[name]]
        odd = isinstance(value, bool) and bool not in wanted
        if odd or not isinstance(value, wanted) or (isinstance(value, list) and not _strings(value)):
            raise ConfigurationError(f"{where}: {name} = {value!r} must be {_words(known[name])}.")
        checked[name] = tuple(value) if isinstance(value, list) else value
    return checked


def _strings(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _words(kind: str) -> str:
    names = {"str": "a text", "int": "a whole number", "bool": "true or false", "float": "a number"}
    return names.get(kind, "a list of texts")

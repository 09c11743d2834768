"""The protocol streamer.v1: reads and writes its JSON messages, validated by one schema, `protocol.schema.json`.

The schema is compiled once, with a validator for each message. `streamer.protocol.framing` reads binary frames, which
are audio. Server and client both import this package.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, NoReturn

from streamer.errors import ProtocolError

VERSION = 1
SUBPROTOCOL = "streamer.v1"
BEARER_PREFIX = "streamer.bearer."
PATH = "/v1/stream"

# Clients send small messages: a roster of 1,000 names of 100 characters is the largest that makes sense.
MAX_TEXT_BYTES = 256 * 1024

#: Target length of the short windows, which detect changes of speaker.
SHORT_S = 1.0
#: The step that a server's capacity is measured with.
USUAL_STEP_S = 0.5

Side = Literal["client", "server"]


@cache
def schema() -> dict[str, Any]:
    """The whole JSON Schema (draft 2020-12)."""
    text = files("streamer.protocol").joinpath("protocol.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@cache
def message_types(side: Side) -> frozenset[str]:
    """The `type`s that this side may send."""
    return frozenset(name for name, body in schema()["$defs"].items() if body.get("x-from") == side)


@cache
def event_types() -> frozenset[str]:
    """The `type`s that are numbered and sent again after a resume."""
    return frozenset(name for name, body in schema()["$defs"].items() if body.get("x-event"))


@cache
def _validator(type_: str) -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator({"$ref": f"#/$defs/{type_}", "$defs": schema()["$defs"]})


def read(text: str, sender: Side) -> dict[str, Any]:
    """The message in a text frame, valid by the schema.

    Raises ProtocolError if it is not JSON, not an object, of a type that this side doesn't send, or not valid by the
    schema.
    """
    message = load(text)
    check(message, sender)
    checked: dict[str, Any] = message
    return checked


def load(text: str) -> Any:
    """The JSON value of a text frame. Raises ProtocolError if it is too long, or not JSON."""
    if len(text) > MAX_TEXT_BYTES:
        raise ProtocolError(f"A text message of {len(text)} characters is too long: {MAX_TEXT_BYTES} are allowed.")
    try:
        message = json.loads(text, parse_constant=_refuse_constant)
        # A lone surrogate ("\ud800") passes JSON but can be neither stored nor sent on.
        if "\\u" in text:
            json.dumps(message, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"A text message is not JSON: {str(error)[:200]}.") from None
    return message


def check(message: object, sender: Side) -> None:
    """Raise ProtocolError unless `message` is one that `sender` may send, valid by the schema."""
    if not isinstance(message, dict):
        raise ProtocolError(f"A message must be a JSON object, not {_kind(message)}.")
    type_ = message.get("type")
    known = message_types(sender)
    if not isinstance(type_, str) or type_ not in known:
        raise ProtocolError(f"{_short(type_)} is not a message of the {sender}; use one of {', '.join(sorted(known))}.")
    error = next(iter(_validator(type_).iter_errors(message)), None)
    if error is not None:
        where = ".".join(str(part) for part in error.absolute_path)
        raise ProtocolError(f"`{type_}`{f', {where}' if where else ''}: {error.message[:300]}.")


def write(message: Mapping[str, Any]) -> str:
    """The text frame of a message. Numbers without JSON form are a bug of this package, so they raise ValueError."""
    return json.dumps(message, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def whole(value: Any) -> int:
    """A JSON Schema integer as an int: 3.0 is one too."""
    return int(value)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _kind(value: object) -> str:
    return {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}.get(type(value), "a number")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a session's audio: the fields of `start` with the same names, described in the schema."""

    sample_rate: int = 16_000
    encoding: str = "s16le"
    channels: int = 1
    channel_mode: str = "downmix"
    framing: str = "plain"
    step: float = 0.5
    duration: float = 3.0
    policy: str = "every"
    roster: tuple[str, ...] | None = None
    windows: bool = False
    embeddings: bool = False
    stats_interval: float = 5.0

    @classmethod
    def of(cls, start: Mapping[str, Any]) -> Settings:
        """The settings in a valid `start` message (or in the settings of `ready`)."""
        roster = start.get("roster")
        encoding = start.get("encoding", "s16le")
        return cls(
            # An Opus packet decodes at 48 kHz whatever its original rate; RFC 7587 counts its time in the same way.
            sample_rate=48_000 if encoding == "opus" else whole(start.get("sample_rate", 16_000)),
            encoding=encoding,
            channels=whole(start.get("channels", 1)),
            channel_mode=start.get("channel_mode", "downmix"),
            framing=start.get("framing", "plain"),
            step=float(start.get("step", 0.5)),
            duration=float(start.get("duration", 3.0)),
            policy=start.get("policy", "every"),
            roster=None if roster is None else tuple(roster),
            windows=start.get("windows", False),
            embeddings=start.get("embeddings", False),
            stats_interval=float(start.get("stats_interval", 5.0)),
        )

    def to_dict(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in self.__slots__}
        return {**values, "roster": None if self.roster is None else list(self.roster)}

    @property
    def streams(self) -> int:
        """The number of engine streams that the session needs."""
        return self.channels if self.channel_mode == "split" else 1

    @property
    def durations(self) -> tuple[float, ...]:
        """The window lengths of its streams: the requested one, and a short one that is a multiple of its step."""
        short = max(1, round(SHORT_S / self.step)) * self.step
        return (short, self.duration) if short < self.duration else (self.duration,)

    @property
    def cost(self) -> int:
        """The session's share of the server's capacity, in streams with steps of half a second: one with steps five
        times as short counts as five."""
        return self.streams * max(1, math.ceil(USUAL_STEP_S / self.step - 1e-9))


@dataclass(eq=False)
class Refusal(Exception):
    """Why a request failed: an `error` message, raised. The shell sends it; nobody else sees it."""

    code: str
    message: str
    change: str
    fatal: bool = False
    retry_after: float | None = None

    def to_dict(self, request: int | None = None) -> dict[str, Any]:
        body: dict[str, Any] = {
            "type": "error",
            "code": self.code,
            "message": self.message,
            "change": self.change,
            "fatal": self.fatal,
        }
        if self.retry_after is not None:
            body["retry_after"] = self.retry_after
        if request is not None:
            body["request"] = request
        return body


def first(frame: str | bytes) -> dict[str, Any]:
    """The `start` or `watch` that a connection must begin with. Raises Refusal: wrong_order, invalid_message."""
    if isinstance(frame, bytes):
        raise Refusal("wrong_order", "Audio came before `start`.", "Send `start` first.", fatal=True)
    try:
        start = read(frame, "client")
    except ProtocolError as error:
        raise Refusal("invalid_message", str(error), "See docs/protocol.md.", fatal=True) from None
    if start["type"] not in ("start", "watch"):
        raise Refusal("wrong_order", f"`{start['type']}` came before `start`.", "Send `start` first.", fatal=True)
    return start

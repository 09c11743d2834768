"""Translates Twilio's Media Streams into the protocol streamer.v1, without I/O: its messages in, protocol frames out.

https://www.twilio.com/docs/voice/media-streams/websocket-messages

    connected, start, media, media, ..., stop  ─►  start, sequenced mu-law frames, end

A call's tracks are the session's channels: `inbound` comes from the caller, `outbound` is what the caller hears.
Settings come as custom parameters of the stream, all of them text; unknown parameters belong to the operator and
are passed on. `mark` has no meaning here; `dtmf` is ignored on purpose: people may type the number of a card.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streamer import protocol
from streamer.errors import ProtocolError
from streamer.protocol import Refusal
from streamer.server.tracks import RATE, Lost, Tracks

PATH = "/v1/twilio"
SIGNATURE = "X-Twilio-Signature"
TRACKS = ("inbound", "outbound")
FORMAT = {"encoding": "audio/x-mulaw", "sampleRate": RATE, "channels": 1}
PARAMETERS = ("token", "roster", "step", "duration", "tracks")

# No call lasts longer, and sample indices stay small enough.
LONGEST_MS = 7 * 24 * 3600 * 1000

END = protocol.write({"type": "end"})


@dataclass(frozen=True, slots=True)
class Call:
    """The contents of a call's `start`.

    stream, call: Twilio's identifiers. tracks: those that are used, each a channel unless `mixed`. token: the
    bearer token, if any. settings: `start` of the protocol. parameters: the operator's custom ones.
    """

    stream: str
    call: str
    tracks: tuple[str, ...]
    mixed: bool
    token: str | None = field(repr=False)
    settings: dict[str, Any]
    parameters: dict[str, str]

    def track(self, channel: int) -> str:
        """The name of a channel of the session."""
        return "mixed" if self.mixed else self.tracks[channel]

    @classmethod
    def of(cls, message: Mapping[str, Any]) -> Call:
        """Raises Refusal: invalid_message, unsupported."""
        start = _object(message, "start")
        _check_format(_object(start, "mediaFormat"))
        sent = start.get("tracks")
        if not isinstance(sent, list) or not sent or any(track not in TRACKS for track in sent):
            raise _invalid("start.tracks", "a list of inbound and outbound", sent)
        parameters = start.get("customParameters") or {}
        if not isinstance(parameters, dict) or not all(isinstance(value, str) for value in parameters.values()):
            raise _invalid("start.customParameters", "an object of texts", parameters)
        tracks, mixed = _tracks(parameters.get("tracks"), [track for track in TRACKS if track in sent])
        return cls(
            stream=_name(start, "streamSid"),
            call=_name(start, "callSid"),
            tracks=tracks,
            mixed=mixed,
            token=parameters.get("token") or None,
            settings=_settings(parameters, len(tracks), mixed=mixed),
            parameters={name: value for name, value in parameters.items() if name not in PARAMETERS},
        )


def sign(url: str, auth_token: str) -> str:
    """The value of `X-Twilio-Signature` in Twilio's handshake: HMAC-SHA1 of the stream's URL, in base64.

    url: as in TwiML, including wss://; changes by a proxy on the way are not signed.
    Source: https://www.twilio.com/docs/usage/webhooks/webhooks-security, for a request without a body.
    """
    return base64.b64encode(hmac.digest(auth_token.encode(), url.encode(), "sha1")).decode()


class Translator:
    """One connection. `receive` translates a message; `call` is set after `start`.

    >>> translator = Translator()
    >>> translator.receive('{"event": "connected", "protocol": "Call", "version": "1.0.0"}')
    []
    """

    def __init__(self) -> None:
        self.call: Call | None = None
        self.ended = False
        self._tracks = Tracks(1)

    @property
    def duplicates(self) -> int:
        """Chunks that had arrived before."""
        return self._tracks.duplicates

    def receive(self, frame: str | bytes) -> list[str | bytes | Lost]:
        """Frames of the protocol, and losses of one track alone.

        Raises Refusal for a message that is not Twilio's; fatal before the call has started. The state is then
        unchanged.
        """
        try:
            return self._receive(frame)
        except Refusal as refusal:
            refusal.fatal = refusal.fatal or self.call is None
            raise

    def finish(self) -> list[str | bytes | Lost]:
        """The last frames at the end of the call, with or without `stop`."""
        if self.ended:
            return []
        self.ended = True
        return [*self._tracks.finish(), END]

    def _receive(self, frame: str | bytes) -> list[str | bytes | Lost]:
        if isinstance(frame, bytes):
            raise Refusal("invalid_message", "A binary message came.", "Media Streams are JSON texts.")
        try:
            message = protocol.load(frame)
        except ProtocolError as error:
            raise Refusal("invalid_message", str(error), "Media Streams are JSON texts.") from None
        kind = message.get("event") if isinstance(message, dict) else None
        if not isinstance(kind, str):
            raise Refusal("invalid_message", "A message has no `event`.", f"{PATH} takes Twilio's Media Streams.")
        if self.ended:
            return []
        if kind == "start":
            return self._start(message)
        if kind in ("media", "stop") and self.call is None:
            raise Refusal("wrong_order", f"`{kind}` came before `start`.", "Send `connected` and `start` first.")
        if kind == "media":
            return self._media(message)
        return self.finish() if kind == "stop" else []

    def _start(self, message: Mapping[str, Any]) -> list[str | bytes | Lost]:
        if self.call is not None:
            raise Refusal("wrong_order", "`start` came a second time.", "One connection is one call.")
        self.call = Call.of(message)
        self._tracks = Tracks(len(self.call.tracks))
        return []

    def _media(self, message: Mapping[str, Any]) -> list[str | bytes | Lost]:
        assert self.call is not None
        if message.get("streamSid", self.call.stream) != self.call.stream:
            raise _invalid("streamSid", self.call.stream, message["streamSid"])
        media = _object(message, "media")
        track = media.get("track")
        if track not in TRACKS:
            raise _invalid("media.track", "inbound or outbound", track)
        chunk, timestamp = _number(media, "chunk"), _number(media, "timestamp")
        payload = media.get("payload")
        try:
            data = base64.b64decode(payload, validate=True) if isinstance(payload, str) else None
        except (binascii.Error, ValueError):  # ValueError: not ASCII
            data = None
        if data is None:
            raise Refusal("bad_audio", "media.payload is not base64.", "Its time counts as missing.")
        if track not in self.call.tracks:
            return []
        return [*self._tracks.add(self.call.tracks.index(track), chunk, timestamp * RATE // 1000, data)]


def _settings(parameters: Mapping[str, str], channels: int, *, mixed: bool) -> dict[str, Any]:
    """`start` of the protocol, valid by its schema."""
    settings: dict[str, Any] = {
        "type": "start",
        "encoding": "mulaw",
        "sample_rate": RATE,
        "channels": channels,
        "channel_mode": "downmix" if mixed else "split",
        "framing": "sequenced",
        "stats_interval": 0,
    }
    for name in ("step", "duration"):
        if name in parameters:
            settings[name] = _seconds(name, parameters[name])
    if "roster" in parameters:
        settings["roster"] = [name.strip() for name in parameters["roster"].split(",") if name.strip()]
    try:
        protocol.check(settings, "client")
    except ProtocolError as error:
        raise Refusal("invalid_message", str(error), "Change the stream's parameters.") from None
    return settings


def _seconds(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    # The schema's limits accept NaN, because JSON has no NaN.
    if not math.isfinite(value):
        raise _invalid(f"the parameter {name}", "a number of seconds", text)
    return value


def _tracks(wanted: str | None, sent: list[str]) -> tuple[tuple[str, ...], bool]:
    """The tracks to use, and whether they are mixed into one channel."""
    if wanted is None or wanted == "split":
        return tuple(sent), False
    if wanted == "mixed":
        return tuple(sent), len(sent) > 1
    if wanted in sent:
        return (wanted,), False
    raise _invalid("the parameter tracks", f"split, mixed, {' or '.join(sent)}", wanted)


def _check_format(given: Mapping[str, Any]) -> None:
    if any(given.get(name) != value for name, value in FORMAT.items()):
        raise Refusal(
            "unsupported",
            f"mediaFormat is {_short(dict(given))}.",
            f"Media Streams are {FORMAT['encoding']}, {RATE} Hz, mono.",
        )


def _object(message: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = message.get(name)
    if not isinstance(value, dict):
        raise _invalid(name, "an object", value)
    return value


def _name(message: Mapping[str, Any], name: str) -> str:
    value = message.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 64 or not value.isascii():
        raise _invalid(f"start.{name}", "a text of 1 to 64 characters", value)
    return value


def _number(media: Mapping[str, Any], name: str) -> int:
    """Twilio sends its numbers as text."""
    value = media.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 15:
        value = int(value)
    if type(value) is not int or not 0 <= value <= LONGEST_MS:
        raise _invalid(f"media.{name}", f"a whole number up to {LONGEST_MS}", value)
    return value


def _invalid(what: str, wanted: str, value: object) -> Refusal:
    return Refusal("invalid_message", f"{what} is {_short(value)}, not {wanted}.", "See docs/telephone.md.")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."

"""The commands of a session: plain values that the shell carries out in order."""

from __future__ import annotations

from dataclasses import dataclass

from streamer.audio.chunks import InputGap
from streamer.protocol.framing import Payload


@dataclass(frozen=True, slots=True)
class Send:
    """Send this text frame to the client."""

    text: str


@dataclass(frozen=True, slots=True)
class Flush:
    """Call `flushed(request, sample)` after everything before this has been processed."""

    request: int | None


@dataclass(frozen=True, slots=True)
class Finish:
    """No more audio will come: call `drained()` after the last event."""


@dataclass(frozen=True, slots=True)
class Enroll:
    """Start, commit or cancel an enrolment, and report with `enrolment(...)`."""

    action: str
    name: str
    channel: int
    force: bool


@dataclass(frozen=True, slots=True)
class Directory:
    """List, name, rename or remove speakers, and report with `speaker_list(...)` or `refuse(...)`.

    after, limit: the page that answers.
    """

    action: str
    speaker: str
    to: str
    channel: int
    request: int | None
    after: str | None
    limit: int


@dataclass(frozen=True, slots=True)
class Share:
    """Share the session under this name, and answer with `shared(...)` or `refuse(...)`."""

    room: str
    request: int | None


@dataclass(frozen=True, slots=True)
class Show:
    """Send this text frame to viewers. keep: also to viewers who join later."""

    text: str
    keep: bool


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection with this WebSocket code, after the messages before."""

    code: int
    reason: str


#: `Payload`: samples in the client's format, which directly follow those before. `InputGap`: they will never come.
Command = Send | Payload | InputGap | Flush | Finish | Enroll | Directory | Share | Show | Close

"""A client's session without I/O: messages in, commands out.

The session outlives its connections: it numbers the events, keeps those that the client has not acknowledged, and
continues when the client comes back. It has no socket, loop, clock or model. Its caller passes
the time in seconds, carries out the commands in order, and reports the results.
    attach(start) ─► Send(ready) ─► receive(...)* ─► end ─► Finish ─► drained() ─► Send(goodbye), Close
         ▲                │
         └── detach() ◄───┘   the connection was lost; attach again within `resume_s`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamer import protocol
from streamer.audio.chunks import InputGap
from streamer.errors import ProtocolError
from streamer.protocol import Refusal, Settings
from streamer.protocol.framing import Framing, Payload
from streamer.server.comeback import Comeback
from streamer.server.commands import Close, Command, Finish, Flush, Send, Share, Show
from streamer.server.replay import Keep, Replay
from streamer.server.requests import Requests

# How many mistakes a client may make before it is disconnected: enough for debugging, too few to keep a server busy.
MAX_ERRORS = 10


class SessionState:
    """One client's stream, over all of its connections.

    name: public, for logs and `ready`.
    token: the secret to resume with.
    settings: the requested settings, within the server's limits.
    model: `name` and `fingerprint`.
    """

    def __init__(
        self, name: str, token: str, settings: Settings, model: Mapping[str, str], keep: Keep | None = None
    ) -> None:
        self.name = name
        self.token = token
        self.settings = settings
        self.model = dict(model)
        self.replay = Replay(keep or Keep())
        self.framing = Framing(settings)
        self.attached = False
        self.ending = False
        self.done = False
        self.detached_at: float | None = None
        self.requests = Requests(settings.streams)
        self.gaps = 0
        self.gap_seconds = 0.0
        self.received = 0
        self.errors: dict[str, int] = {}
        #: The name of its shared room, if any.
        self.room: str | None = None
        self._comeback = Comeback(self.framing, self.replay)
        self._unsaid: dict[str, Any] | None = None

    # Connections

    def attach(self, start: Mapping[str, Any], scopes: frozenset[str], now: float) -> list[Command]:
        """A connection has sent `start` for this session, for the first time or again."""
        resumed = self.detached_at is not None
        away = 0.0 if self.detached_at is None else now - self.detached_at
        commands: list[Command] = []
        if resumed:
            try:
                commands += self._gaps(self._comeback.rejoin(start, away, ending=self.ending))
            except Refusal as refusal:
                return [_send(refusal.to_dict()), Close(1008, refusal.code)]
        self.attached = True
        self.detached_at = None
        self.requests.scopes = scopes
        commands.append(_send(self._ready(resumed, scopes)))
        commands += [Send(text) for text in self.replay.pending]
        if self._unsaid is not None:
            commands.append(_send(self._unsaid))
            self._unsaid = None
        commands += self._ended()
        if self.done:
            commands += self._goodbye("ended", "All audio was processed.", resume=False, code=1000)
        return commands

    def _ready(self, resumed: bool, scopes: frozenset[str]) -> dict[str, Any]:
        return {
            "type": "ready",
            "version": protocol.VERSION,
            "session": self.name,
            "resume": self.token,
            "resume_within": self.replay.keep.seconds,
            "resumed": resumed,
            "position": self.framing.position,
            "last_event": self.replay.last,
            "lost_events": self.replay.lost,
            "settings": self.settings.to_dict(),
            "model": self.model,
            "scopes": sorted(scopes),
        }

    def detach(self, now: float) -> None:
        """The connection is lost."""
        self.attached = False
        self.detached_at = now

    def expired(self, now: float) -> bool:
        """Whether the client did not come back in time."""
        return self.detached_at is not None and now - self.detached_at > self.replay.keep.seconds

    # Input

    def receive(self, frame: str | bytes) -> list[Command]:
        """Process a text or binary frame. Mistakes are answered, and too many of them end the connection."""
        request = None
        try:
            if isinstance(frame, bytes):
                return self._audio(frame)
            message = protocol.read(frame, "client")
            request = message.get("request")
            return self._message(message)
        except Refusal as refusal:
            return self.refuse(refusal, request)
        except ProtocolError as error:
            return self.refuse(Refusal("invalid_message", str(error), "See docs/protocol.md."), request)

    def refuse(self, refusal: Refusal, request: int | None = None) -> list[Command]:
        """Answer with an error; close if it is fatal or the limit of errors is reached."""
        self.errors[refusal.code] = self.errors.get(refusal.code, 0) + 1
        body = refusal.to_dict(request)
        if sum(self.errors.values()) >= MAX_ERRORS:
            body["fatal"] = True
        if not self.attached:
            return []
        commands: list[Command] = [_send(body)]
        if body["fatal"]:
            commands.append(Close(1011 if refusal.code == "internal" else 1008, refusal.code))
        return commands

    def _audio(self, frame: bytes) -> list[Command]:
        if self.ending:
            raise Refusal("wrong_order", "Audio came after `end`.", "Start a new session for more audio.")
        out: list[Command] = []
        for item in self.framing.receive(frame):
            if isinstance(item, Payload):
                self.received += item.num_samples
                out.append(item)
            else:
                out += self._gaps([item])
        return out + self._ended()

    def _ended(self) -> list[Command]:
        """Finish at the `end` that another server received, once its audio has arrived."""
        if not self._comeback.ended():
            return []
        self.ending = True
        return [Finish()]

    def _message(self, message: Mapping[str, Any]) -> list[Command]:
        kind = message["type"]
        request = message.get("request")
        if kind == "ping":
            return [_send({"type": "pong", **_echo(request)})]
        if kind == "ack":
            self._comeback.acknowledge(protocol.whole(message["event"]))
            return []
        if kind in ("start", "watch"):
            raise Refusal("wrong_order", f"`{kind}` came after `start`.", "One connection is one session.")
        if kind == "speakers":
            return [self.requests.directory(message)]
        if self.ending:
            if kind == "end":  # after a lost connection, a client can't know whether its first `end` arrived
                return []
            raise Refusal("wrong_order", f"`{kind}` came after `end`.", "Wait for `goodbye`.")
        if kind == "flush":
            return [Flush(request)]
        if kind == "words":
            channel, said = self.requests.words(message)
            return self.emit(channel, [said])
        if kind == "share":
            return [Share(message["room"], request)]
        if kind == "end":
            self.ending = True
            self._comeback.ends_at = None
            return [Finish()]
        return [self.requests.enroll(message)]

    def _gaps(self, gaps: Sequence[InputGap]) -> Sequence[Command]:
        self.gaps += len(gaps)
        self.gap_seconds += sum(gap.num_samples for gap in gaps) / self.settings.sample_rate
        return gaps

    # Reports

    def emit(self, channel: int, events: Sequence[Mapping[str, Any]]) -> list[Command]:
        """Number these events, keep them, and send them to the client and to viewers."""
        texts = [self.replay.add(channel, event) for event in events]
        commands: list[Command] = [] if self.room is None else [Show(text, keep=True) for text in texts]
        new = self._comeback.unknown(texts)
        return [*commands, *(Send(text) for text in new)] if self.attached else commands

    def stats(self, lag: float, queue: float, skipped: int, level_db: float | None) -> list[Command]:
        """Send the state of the session: lag and queue in seconds."""
        message: dict[str, Any] = {
            "type": "stats",
            "lag": round(lag, 4),
            "queue": round(queue, 3),
            "received": round(self.received * 16_000 / self.settings.sample_rate),
            "gaps": self.gaps,
            "gap_samples": round(self.gap_seconds * 16_000),
            "duplicates": self.framing.duplicates,
            "skipped": skipped,
            "events": self.replay.last,
        }
        if level_db is not None and level_db > -200:
            message["level"] = round(level_db, 1)
        shown = [] if self.room is None else [Show(protocol.write(message), keep=False)]
        return [*shown, *self._say(message)]

    def shared(self, room: str, watchers: int, request: int | None) -> list[Command]:
        """The session is shared under this name, with this number of viewers."""
        self.room = room
        return self._say({"type": "shared", "room": room, "watchers": watchers} | _echo(request))

    def flushed(self, request: int | None, sample: int) -> list[Command]:
        return self._say({"type": "flushed", "sample": sample} | _echo(request))

    def enrolment(self, report: Mapping[str, Any]) -> list[Command]:
        """Pass on a report of the enrolment, which is over unless it is still listening."""
        message = {"type": "enrolment", **report}
        if report["state"] in ("committed", "cancelled"):
            self.requests.enrolling = None
            if not self.attached:
                self._unsaid = message  # for a client that comes back and waits for it
        return self._say(message)

    def speaker_list(self, page: Mapping[str, Any], request: int | None) -> list[Command]:
        """Answer with a page of the people."""
        return self._say({"type": "speaker_list", **page, **_echo(request)})

    def drained(self) -> list[Command]:
        """The last event has been emitted."""
        self.done = True
        if not self.attached:
            return []
        return self._goodbye("ended", "All audio was processed.", resume=False, code=1000)

    def dismiss(
        self, reason: str, message: str, *, resume: bool, code: int, retry_after: float | None = None
    ) -> list[Command]:
        """Dismiss the client."""
        return self._goodbye(reason, message, resume=resume, code=code, retry_after=retry_after)

    def _goodbye(
        self, reason: str, message: str, *, resume: bool, code: int, retry_after: float | None = None
    ) -> list[Command]:
        if not self.attached:
            return []
        body: dict[str, Any] = {"type": "goodbye", "reason": reason, "resume": resume, "message": message}
        if retry_after is not None:
            body["retry_after"] = retry_after
        return [_send(body), Close(code, reason)]

    def _say(self, message: Mapping[str, Any]) -> list[Command]:
        return [_send(message)] if self.attached else []

    # Saving and restoring

    def snapshot(self) -> dict[str, Any]:
        """Everything needed to continue in another process, as JSON types. It has the token: store it with care."""
        return {
            "name": self.name,
            "token": self.token,
            "settings": self.settings.to_dict(),
            "model": self.model,
            "framing": self.framing.snapshot(),
            "ending": self.ending,
            "done": self.done,
            "gaps": self.gaps,
            "gap_seconds": self.gap_seconds,
            "received": self.received,
            "replay": self.replay.snapshot(),
        }

    @classmethod
    def restored(cls, snapshot: Mapping[str, Any], now: float, keep: Keep | None = None) -> SessionState:
        """The session of a snapshot, detached since `now`."""
        settings = Settings.of(snapshot["settings"])
        session = cls(snapshot["name"], snapshot["token"], settings, snapshot["model"], keep)
        session.framing.restore(snapshot["framing"])
        session.done = snapshot["done"]
        session.ending = session.done
        session._comeback.restored(ended=snapshot["ending"] and not session.done)
        session.gaps, session.gap_seconds = int(snapshot["gaps"]), float(snapshot["gap_seconds"])
        session.received = int(snapshot["received"])
        session.replay.restore(snapshot["replay"])
        session.detach(now)
        return session

    def rewind(self, heard_sample: int) -> int:
        """Go back to the position of a restored session's streams, at 16 kHz: later audio must be sent again.

        Returns the sample, at 16 kHz, from which audio continues; it may be somewhat earlier.
        """
        before = self.framing.position
        if self.done:
            return heard_sample
        sample = self.framing.rewind(heard_sample)
        self.received = max(0, self.received - max(0, before - self.framing.position))
        return sample


def _echo(request: int | None) -> dict[str, int]:
    return {} if request is None else {"request": request}


def _send(message: Mapping[str, Any]) -> Send:
    return Send(protocol.write(message))

"""A client's requests: to enrol a voice, and to list and change the enrolled speakers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamer import protocol
from streamer.audio.chunks import SAMPLE_RATE
from streamer.errors import ConfigurationError
from streamer.protocol import Refusal
from streamer.server.commands import Directory, Enroll
from streamer.server.people import PAGE
from streamer.speakers.names import clean_name

#: The scope that each action on `speakers` needs.
_NEEDS = {"list": "stream", "name": "enroll", "rename": "admin", "remove": "admin"}


class Requests:
    """Checks requests and turns them into commands.

    streams: the number of channels of the session. scopes: of the current connection.
    enrolling: the name of the present enrolment, if any.
    """

    def __init__(self, streams: int) -> None:
        self.scopes: frozenset[str] = frozenset()
        self.enrolling: str | None = None
        self._streams = streams

    def enroll(self, message: Mapping[str, Any]) -> Enroll:
        """`enroll`: raises Refusal if it is not allowed, or does not match the present enrolment."""
        self._must("enroll", "enrolling")
        action = message["action"]
        if action == "start":
            if self.enrolling is not None:
                raise Refusal("conflict", f"{self.enrolling!r} is being enrolled.", "Commit or cancel that first.")
            if "name" not in message:
                raise Refusal("invalid_message", "`enroll` has no name.", "Add the name of the speaker.")
            channel = self._channel(message)
            self.enrolling = name = _usable(message["name"])
            return Enroll("start", name, channel, force=False)
        if self.enrolling is None:
            raise Refusal("wrong_order", f"Nobody is being enrolled, so there is nothing to {action}.", "Start first.")
        return Enroll(action, self.enrolling, 0, message.get("force", False))

    def directory(self, message: Mapping[str, Any]) -> Directory:
        """`speakers`: raises Refusal if it is not allowed, or lacks a field."""
        action = message["action"]
        self._must(_NEEDS[action], f"speakers {action}")
        for field, actions in {"speaker": ("name", "rename", "remove"), "to": ("name", "rename")}.items():
            if action in actions and field not in message:
                raise Refusal("invalid_message", f"`speakers` {action} has no `{field}`.", "See docs/protocol.md.")
        return Directory(
            action,
            message.get("speaker", ""),
            _usable(message["to"]) if action in ("name", "rename") else "",
            self._channel(message),
            message.get("request"),
            message.get("after"),
            protocol.whole(message.get("limit", PAGE)),
        )

    def words(self, message: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """`words`: the channel, and the resulting event `said`. Raises Refusal if they end before they begin, or
        contain no visible text."""
        start, end = protocol.whole(message["start_sample"]), protocol.whole(message["end_sample"])
        text = message["text"].strip()
        if end < start or not text:
            message_ = "`words` hold no text." if not text else f"`words` end at {end}, before they begin at {start}."
            raise Refusal("invalid_message", message_, "See docs/protocol.md.")
        about = {"sample": start, "time": start / SAMPLE_RATE, "decided_sample": 0, "reason": ""}
        return self._channel(message), {"type": "said", **about, "end_sample": end, "text": text}

    def _channel(self, message: Mapping[str, Any]) -> int:
        channel = protocol.whole(message.get("channel", 0))
        if channel >= self._streams:
            raise Refusal(
                "invalid_message",
                f"There is no channel {channel}; the session has {self._streams}, counted from 0.",
                "Start with channel_mode split to have separate channels.",
            )
        return channel

    def _must(self, scope: str, what: str) -> None:
        if scope not in self.scopes:
            raise Refusal("forbidden", f"{what} needs the scope {scope}.", "Use a token that has it.")


def _usable(name: str) -> str:
    """The canonical form of a new name. Raises Refusal("invalid_message")."""
    try:
        return clean_name(name)
    except ConfigurationError as error:
        raise Refusal("invalid_message", str(error), "Choose another name.") from None

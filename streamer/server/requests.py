"""What a client asks for beside being heard: to enrol a voice, and to see and change who is enrolled."""

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
    """Checks requests and makes commands of them.

    streams: how many channels the session hears. scopes: what the present connection may ask for.
    enrolling: the name of who is being enrolled, if anybody is.
    """

    def __init__(self, streams: int) -> None:
        self.scopes: frozenset[str] = frozenset()
        self.enrolling: str | None = None
        self._streams = streams

    def enroll(self, message: Mapping[str, Any]) -> Enroll:
        """`enroll`: raises Refusal where it is not allowed, or does not fit what is being enrolled."""
        self._must("enroll", "enrolling")
        action = message["action"]
        if action == "start":
            if self.enrolling is not None:
                raise Refusal("conflict", f"{self.enrolling!r} is being enrolled.", "Commit or cancel that first.")
            if "name" not in message:
                raise Refusal("invalid_message", "`enroll` has no name.", "Say whom the voice belongs to.")
            channel = self._channel(message)
            self.enrolling = name = _usable(message["name"])
            return Enroll("start", name, channel, force=False)
        if self.enrolling is None:
            raise Refusal("wrong_order", f"Nobody is being enrolled, so there is nothing to {action}.", "Start first.")
        return Enroll(action, self.enrolling, 0, message.get("force", False))

    def directory(self, message: Mapping[str, Any]) -> Directory:
        """`speakers`: raises Refusal where it is not allowed, or lacks something."""
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
        """`words`: the channel, and the event `said` that they become. Raises Refusal for ones that end before they
        begin, or where nothing is to be seen."""
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
                f"There is no channel {channel}; the session hears {self._streams}, counted from 0.",
                "Start with channel_mode split to hear channels apart.",
            )
        return channel

    def _must(self, scope: str, what: str) -> None:
        if scope not in self.scopes:
            raise Refusal("forbidden", f"{what} needs the scope {scope}.", "Use a token that has it.")


def _usable(name: str) -> str:
    """A new name, before anything else is done about it. Raises Refusal("invalid_message")."""
    try:
        return clean_name(name)
    except ConfigurationError as error:
        raise Refusal("invalid_message", str(error), "Choose another name.") from None

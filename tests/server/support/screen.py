"""A second screen, as a meeting has it, and what a room says of turns."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from streamer.server.config import ServerConfig
from streamer.server.secondscreen import SecondScreen
from streamer.sinks.base import SessionView, Sink
from streamer.speakers.events import Event, Overlap, Speaker, SpeechEnd, SpeechStart, TurnEnd

RATE = 16_000
SEATS = ("door", "window")


class Saying:
    """What a room decides, by hand: each word is decided at `second`, and goes to the screen as a meeting's does."""

    def __init__(self, screen: SecondScreen, sink: Sink | None = None) -> None:
        self.sink = sink or screen.sink()
        self.session = SessionView("room", channels=SEATS)

    def say(self, event: Event) -> None:
        self.session.timeline.hear(event)
        self.sink.event(event, self.session)

    def starts(self, second: float, channel: int = 0) -> None:
        self.say(SpeechStart(sample=at(second), decided_sample=at(second), channel=channel))

    def ends(self, second: float, channel: int = 0) -> None:
        self.say(SpeechEnd(sample=at(second), decided_sample=at(second), start_sample=0, channel=channel))

    def names(self, second: float, turn: int, speaker: str, channel: int, start: float, *, final: bool = False) -> None:
        about: dict[str, Any] = {"turn": turn, "speaker": speaker, "confidence": 0.9, "score": 0.7, "final": final}
        self.say(Speaker(sample=at(start), decided_sample=at(second), channel=channel, **about))

    def closes(self, second: float, turn: int, speaker: str, channel: int, start: float, end: float) -> None:
        about: dict[str, Any] = {"turn": turn, "speaker": speaker, "confidence": 0.95, "start_sample": at(start)}
        self.say(TurnEnd(sample=at(end), decided_sample=at(second), channel=channel, **about))

    def together(self, second: float, speaker: str, other: str | None, channel: int, start: float) -> None:
        about: dict[str, Any] = {"overlap": 1, "end_sample": None, "speaker": speaker, "other": other}
        self.say(Overlap(sample=at(start), decided_sample=at(second), channel=channel, confidence=0.8, **about))


def at(second: float) -> int:
    return round(second * RATE)


@contextlib.asynccontextmanager
async def showing(title: str = "Weekly", **settings: Any) -> AsyncIterator[SecondScreen]:
    """A second screen of a room with two microphones, on a free port."""
    screen = SecondScreen(ServerConfig(**{"port": 0, **settings}), title, SEATS)
    await screen.__aenter__()
    try:
        yield screen
    finally:
        await screen.__aexit__()

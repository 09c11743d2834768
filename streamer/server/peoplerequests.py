"""What a session asks about people: enrol one, name a guest, look at the list or change it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from streamer.models.grid import FrameGrid
from streamer.protocol import Refusal
from streamer.server.channel import Channel
from streamer.server.commands import Directory, Enroll
from streamer.server.enrolling import Enrolling
from streamer.server.people import People
from streamer.speakers.backend import Backend
from streamer.speakers.profiles import Exemplar
from streamer.speakers.steps import Embed


class PeopleRequests:
    """Answers for one server; every method raises Refusal where it can't do what was asked.

    changed: called after a change of the people, so that every running stream listens for them.
    """

    def __init__(
        self, people: People, backend: Backend, embed: Embed | None, grid: FrameGrid, changed: Callable[[], None]
    ) -> None:
        self._people = people
        self._backend = backend
        self._embed = embed
        self._grid = grid
        self._changed = changed

    def begin(self, command: Enroll, channels: Sequence[Channel]) -> dict[str, Any]:
        """The body of the `enrolment` message that answers a start: it hears what is written from now on."""
        channel = channels[command.channel]
        channel.enrolling = Enrolling(
            command.name,
            channel.index,
            channel.progress.written,
            self._people,
            self._backend,
            self._embed,
            self._grid,
        )
        return channel.enrolling.listening()

    async def enroll(self, command: Enroll, channels: Sequence[Channel]) -> dict[str, Any]:
        """The body of the `enrolment` message that answers."""
        if command.action == "start":
            return self.begin(command, channels)
        channel, enrolling = _listening(channels)
        if command.action == "cancel":
            channel.enrolling = None
            return enrolling.cancelled()
        report = await enrolling.commit(force=command.force)
        if report["state"] == "committed":
            channel.enrolling = None
            self._changed()
        return report

    async def directory(self, command: Directory, channels: Sequence[Channel]) -> dict[str, Any]:
        """The body of the `speaker_list` that answers, after the change that was asked for."""
        people = self._people
        erased = True
        if command.action == "name":
            channel = channels[command.channel]
            async with channel.tracking:
                heard = _guest(channel, command.speaker)
            await people.add(command.to, [heard])
        elif command.action == "rename":
            erased = await people.rename(command.speaker, command.to)
        elif command.action == "remove":
            erased = await people.remove(command.speaker)
        if command.action != "list":
            self._changed()
        return people.page(command.after, command.limit) | ({} if erased else {"erased": False})


def _listening(channels: Sequence[Channel]) -> tuple[Channel, Enrolling]:
    for channel in channels:
        if channel.enrolling is not None:
            return channel, channel.enrolling
    raise Refusal("wrong_order", "Nobody is being enrolled.", "Start first; a restart of the server cancels it.")


def _guest(channel: Channel, name: str) -> Exemplar:
    """The voice of a guest of this channel, as it is known by now."""
    guests = channel.tracker.guests
    slot = guests.slot(name)
    if slot is None:
        known = ", ".join(guest for guest in guests.names if guest is not None) or "none"
        raise Refusal("unknown_speaker", f"There is no guest {name!r} here; there are: {known}.", "Name one of these.")
    return Exemplar(guests.centroids[slot].copy(), float(guests.speech_s[slot]), source=name)

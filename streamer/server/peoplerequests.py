"""A session's requests about people: enrol a speaker, name a guest, list speakers or change them."""

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
    """Answers requests for one server; every method raises Refusal if a request fails.

    changed: called after a change of the people, to update the roster of every running stream.
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
        """The body of the `enrolment` message for a start: the enrolment takes the audio from now on."""
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
        """The body of the answering `enrolment` message."""
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
        """The body of the answering `speaker_list`, after the requested change."""
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
    """The voice of a guest of this channel, from its speech so far."""
    guests = channel.tracker.guests
    slot = guests.slot(name)
    if slot is None:
        known = ", ".join(guest for guest in guests.names if guest is not None) or "none"
        raise Refusal("unknown_speaker", f"There is no guest {name!r} here; there are: {known}.", "Name one of these.")
    return Exemplar(guests.centroids[slot].copy(), float(guests.speech_s[slot]), source=name)

"""A session's requests to the speaker store: done in order, while its audio continues."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence

from streamer.protocol import Refusal
from streamer.server import log
from streamer.server.channel import Channel
from streamer.server.commands import Command, Directory, Enroll
from streamer.server.peoplerequests import PeopleRequests
from streamer.server.session import SessionState

# Requests that may wait for the store; each is answered or refused.
WAITING = 32


class Errands:
    """The requests of one session. do: carries out the session's commands."""

    def __init__(
        self,
        session: SessionState,
        channels: Sequence[Channel],
        people_requests: PeopleRequests,
        do: Callable[[Sequence[Command]], None],
    ) -> None:
        self._session = session
        self._channels = channels
        self._people_requests = people_requests
        self._do = do
        self._waiting: deque[Enroll | Directory] = deque()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, command: Enroll | Directory) -> None:
        if len(self._waiting) >= WAITING:
            message = f"{WAITING} requests of this session wait already."
            return self._refuse(command, Refusal("busy", message, "Wait for their answers first.", retry_after=1.0))
        if isinstance(command, Enroll) and command.action == "start" and not self._waiting:
            # At once, because it does not wait for the store: the audio that comes next belongs to the enrolment.
            return self._do(self._session.enrolment(self._people_requests.begin(command, self._channels)))
        self._waiting.append(command)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=f"errands {self._session.name}")

    async def done(self) -> None:
        """Wait until all requests are answered."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def close(self) -> None:
        """Drop the requests: nobody waits for the answers."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._waiting.clear()
        self._task = None

    async def _run(self) -> None:
        while self._waiting:
            await self._ask(self._waiting[0])
            self._waiting.popleft()

    async def _ask(self, command: Enroll | Directory) -> None:
        try:
            if isinstance(command, Enroll):
                self._do(self._session.enrolment(await self._people_requests.enroll(command, self._channels)))
            else:
                page = await self._people_requests.directory(command, self._channels)
                self._do(self._session.speaker_list(page, command.request))
        except Refusal as refusal:
            self._refuse(command, refusal)
        except Exception:
            log.say("request failed", level=logging.ERROR, exc_info=True, session=self._session.name)
            self._refuse(command, Refusal("internal", "The server made a mistake.", "Try again."))

    def _refuse(self, command: Enroll | Directory, refusal: Refusal) -> None:
        if isinstance(command, Enroll) and command.action == "start":
            self._session.requests.enrolling = None
        request = command.request if isinstance(command, Directory) else None
        self._do(self._session.refuse(refusal, request))

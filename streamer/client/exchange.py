"""The messages of a session over its successive connections, and the state that must survive each of them.

The client sends audio and `end`, and receives each message once: when a connection begins, both sides say how far they
are. If the server has lost the session, a new one begins after the audio that was decided; its times are shifted, so
that they still count from the start of the stream.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from streamer import protocol
from streamer.audio.chunks import SAMPLE_RATE as RATE
from streamer.client.answers import refusal
from streamer.client.backlog import Backlog
from streamer.errors import ConnectionLost, ProtocolError
from streamer.protocol.framing import HEADER

Message = dict[str, Any]

ACK_EVERY = 32
# A working server sends something at least each `stats_interval`; without that, at least this often.
SILENCE_S = 20.0
# A delay below this is not a failure.
LATE_S = 10.0
# The fields of a message that are positions of the stream, at 16 kHz.
POSITIONS = ("sample", "decided_sample", "start_sample", "end_sample")
# Most messages that may wait to be read; beyond it the server has to wait, and finally disconnects the client.
UNREAD = 1_000


class SessionLost(Exception):
    """The server has dropped the session, and may accept a new one after `wait_s` seconds."""

    def __init__(self, reason: str, wait_s: float) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class Exchange:
    """The session, independent of its connection.

    start: the first message of a new session. backlog: audio to send, and sent audio to send again if needed.
    changed: guards the backlog and `ending`, and is notified of each change. ending: no more audio will come.
    messages: for the reader; None after the last. requests: futures of the answers. socket: the current one.
    reconnects: number of connections that resumed the session. restarts: number of sessions that were started anew.
    """

    def __init__(self, start: Message, backlog: Backlog) -> None:
        self.backlog = backlog
        self.changed = asyncio.Condition()
        self.ending = False
        self.messages: asyncio.Queue[Message | None] = asyncio.Queue(UNREAD)
        self.requests: dict[int, asyncio.Future[Message]] = {}
        self.socket: ClientConnection | None = None
        self.reconnects = 0
        self.restarts = 0
        self._start = start
        self._rate = 48_000 if start.get("encoding") == "opus" else int(start.get("sample_rate", RATE))
        # The start of the current session, in the stream's samples at the client's rate.
        self._origin = 0
        # The sample up to which the stream was decided, at 16 kHz.
        self._decided = 0
        said_every_s = float(start.get("stats_interval", 5))
        self._silence_s = max(LATE_S, 3 * said_every_s) if said_every_s else SILENCE_S
        self._token: str | None = None
        self._last_event = self._acknowledged = 0
        self._sequence = 0

    async def over(self, socket: ClientConnection, begun: Callable[[Message], None]) -> bool:
        """Exchange messages over one connection; returns whether the session ended with it.

        begun: called with `ready`. Raises ConnectionClosed if the session may continue over another connection,
        ServerBusy if it may continue later; ServerRefused and ConnectionLost if it may not.
        """
        answer = await self._begin(socket)
        begun(answer)
        reader = asyncio.create_task(self._read(socket))
        sender = asyncio.create_task(self._write(socket))
        try:
            # Not the first exception: the server may end a session while the sender waits for a source that stalls.
            await asyncio.wait({reader, sender}, return_when=asyncio.FIRST_COMPLETED)
            if sender.done() and not isinstance(sender.exception(), ConnectionClosed):
                await sender
            return await reader
        finally:
            self.socket = None
            reader.cancel()
            sender.cancel()
            await asyncio.gather(reader, sender, return_exceptions=True)

    async def finish(self) -> None:
        """No further connection will come: wake everybody who waits."""
        self.socket = None
        self.fail_requests()
        while self.messages.full():  # make space for the end: nobody reads, or the reader was cancelled
            self.messages.get_nowait()
        self.messages.put_nowait(None)
        async with self.changed:
            self.changed.notify_all()

    def fail_requests(self) -> None:
        """Fail the requests whose answers will not come."""
        for future in self.requests.values():
            if not future.done():
                future.set_exception(ConnectionLost("The connection was lost before the answer came; ask again."))

    async def _begin(self, socket: ClientConnection) -> Message:
        """Start the session, or resume it."""
        start = dict(self._start)
        if self._token is not None:
            earliest = max(0, self.backlog.earliest - self._origin)
            start |= {"resume": self._token, "last_event": self._last_event, "position": earliest}
        await socket.send(protocol.write(start))
        async with asyncio.timeout(self._silence_s):
            answer = protocol.read(await socket.recv(decode=True), "server")
        if answer["type"] == "error":
            if answer["code"] == "unknown_session" and self._token is not None:
                raise SessionLost("the server does not know the session any more", 0.0)
            raise refusal(answer)
        if answer["type"] != "ready":
            raise ProtocolError(f"The server answered `start` with `{answer['type']}`.")
        self.reconnects += answer["resumed"]
        self._token, self.socket = answer["resume"], socket
        self.backlog.rewind(answer["position"] + self._origin)
        return answer

    @property
    def lost_session(self) -> bool:
        """Whether there is a session to lose."""
        return self._token is not None

    async def begin_anew(self, reason: str) -> None:
        """The server has lost the session: the next connection starts a new one, with the kept audio for which nothing
        was decided. The reader gets a message of what is lost."""
        self._token, self._last_event, self._acknowledged, self._sequence = None, 0, 0, 0
        self.restarts += 1
        async with self.changed:
            wanted = min(max(self._decided * self._rate // RATE, self.backlog.earliest), self.backlog.end)
            self.backlog.rewind(wanted)
            # Pieces are sent whole, and the first may begin a little earlier.
            self._origin = min(wanted, self.backlog.next_position)
        sample = self._moved(0)
        where = f"it begins anew at {sample / RATE:.1f} s, with new guests"
        await self.messages.put(
            {
                "type": "restart",
                "reason": reason,
                "time": sample / RATE,
                "sample": sample,
                "lost_from_sample": min(self._decided, sample),
                "message": f"The server has lost the session; {where}.",
            }
        )

    def _moved(self, sample: int) -> int:
        """Convert a position of the current session, at 16 kHz, to one of the stream."""
        return sample + self._origin * RATE // self._rate

    def _move(self, message: Message) -> Message:
        if not self._origin:
            return message
        moved: Message = {name: self._moved(message[name]) for name in POSITIONS if name in message}
        if "time" in message:
            moved["time"] = self._moved(message["sample"]) / RATE
        return message | moved

    async def _write(self, socket: ClientConnection) -> None:
        while True:
            async with self.changed:
                await self.changed.wait_for(lambda: self.backlog.unsent or self.ending)
                chunk = self.backlog.take()
                self.changed.notify_all()
            if chunk is not None:
                await self._send(socket, chunk.position, chunk.data)
                continue
            if self.backlog.trails:  # no audio follows with a position that shows the gap
                await self._send(socket, self.backlog.end, b"")
            return await socket.send(protocol.write({"type": "end"}))

    async def _send(self, socket: ClientConnection, position: int, data: bytes) -> None:
        await socket.send(HEADER.pack(self._sequence, position - self._origin) + data)
        self._sequence = (self._sequence + 1) % 2**32

    async def _read(self, socket: ClientConnection) -> bool:
        """Read to the end of the connection; returns whether the session ended with it. Raises ConnectionClosed
        otherwise."""
        while True:
            async with asyncio.timeout(self._silence_s):
                message = self._move(protocol.read(await socket.recv(decode=True), "server"))
            self._decided = max(self._decided, message.get("decided_sample", 0))
            if message["type"] == "flushed":
                self._decided = max(self._decided, message["sample"])
            request = self.requests.get(message.get("request", 0))
            if request is not None:
                if not request.done():
                    request.set_result(message)
                continue
            if "id" in message and message["id"] <= self._last_event:
                continue
            await self.messages.put(message)
            if "id" in message:
                self._last_event = message["id"]
            if self._last_event - self._acknowledged >= ACK_EVERY or message["type"] == "stats":
                await self._acknowledge(socket)
            if message["type"] == "error" and message["fatal"]:
                if message["code"] == "internal" and "retry_after" in message:
                    raise SessionLost(message["message"], float(message["retry_after"]))
                raise refusal(message)
            if message["type"] == "goodbye" and not message["resume"]:
                if message["reason"] == "draining":
                    raise SessionLost("the server was stopped", float(message.get("retry_after", 0.0)))
                return True

    async def _acknowledge(self, socket: ClientConnection) -> None:
        if self._last_event > self._acknowledged:
            self._acknowledged = self._last_event
            # The server may have sent everything and closed: its last messages are still to be read.
            with contextlib.suppress(ConnectionClosed):
                await socket.send(protocol.write({"type": "ack", "event": self._last_event}))

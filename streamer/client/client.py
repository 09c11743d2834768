"""A session with a server over as many connections as it takes.

The client keeps the last seconds of audio that it sent. If the connection breaks and comes back in time, nothing is
lost: the server says what has arrived, and the client sends the rest again. Events come in order, each once. `exchange`
has the messages of one connection; this module opens connections and is what users call.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import ssl
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from streamer import protocol
from streamer.audio.chunks import Chunk, Source
from streamer.audio.formats import BYTES_PER_SAMPLE, encode_pcm
from streamer.client.answers import delays, lost, refusal, unreachable
from streamer.client.backlog import Backlog
from streamer.client.exchange import Exchange, Message, SessionLost
from streamer.errors import ConfigurationError, ConnectionLost, ServerBusy, ServerRefused


class Client:
    """Sends audio to a server, and yields its answers: the messages of the protocol, as dicts.

    url: ws:// or wss://, with or without the path. token: a bearer token, sent as a header.
    encoding: how samples are sent: s16le, s24le, s32le, f32le, mulaw or alaw. sample_rate, channels: of what is sent.
    settings: further fields of `start`: step, duration, roster, windows, embeddings, policy, stats_interval, ...
    keep_s: seconds of sent audio to keep, to send it again. unsent_s: seconds that may wait to be sent; after that,
        `send` waits. patience_s: how long to try to resume a session before raising ConnectionLost, or ServerBusy
        if the server answers but is full.
    tls: for wss:// with a private certificate.

    If the server has lost the session, by a crash or by a restart without saved state, the client starts a new one. A
    message of type `restart` says where it starts (`sample`), and up to where the old one had decided
    (`lost_from_sample`); what lies between is lost. Positions still count from the start of the stream; events are
    numbered from 1 again, and guests are new.

    >>> async with Client("ws://127.0.0.1:8765", roster=["Ada"]) as client:           # doctest: +SKIP
    ...     client.feed(FileSource("talk.wav", realtime=True))
    ...     async for message in client:
    ...         print(message["type"], message.get("speaker"))
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        encoding: str = "s16le",
        sample_rate: int = 16_000,
        channels: int = 1,
        keep_s: float = 30.0,
        unsent_s: float = 5.0,
        patience_s: float = 30.0,
        tls: ssl.SSLContext | None = None,
        **settings: Any,
    ) -> None:
        if encoding not in BYTES_PER_SAMPLE:
            raise ConfigurationError(f"encoding={encoding!r}: this client sends {', '.join(BYTES_PER_SAMPLE)}.")
        self.url = url if protocol.PATH in url else url.rstrip("/") + protocol.PATH
        self._start: Message = {
            "type": "start",
            "sample_rate": sample_rate,
            "encoding": encoding,
            "channels": channels,
            "framing": "sequenced",
            **settings,
        }
        protocol.check(self._start, "client")
        self._options: dict[str, Any] = {"ssl": tls} if tls is not None else {}
        if token is not None:
            self._options["additional_headers"] = {"Authorization": f"Bearer {token}"}
        self._encoding = encoding
        self._channels = channels
        self._exchange = Exchange(self._start, Backlog(round(keep_s * sample_rate)))
        self._unsent = round(unsent_s * sample_rate)
        self._patience_s = patience_s
        self._ready: asyncio.Future[Message] | None = None
        self._leaving = False
        self._numbers = itertools.count(1)
        self._failure: Exception | None = None
        self._waits, self._lost_at = delays(random.Random()), 0.0
        self._tasks: list[asyncio.Task[None]] = []

    # A session

    async def __aenter__(self) -> Client:
        """Connect. Raises ConnectionLost, ServerRefused or ServerBusy."""
        self._ready = asyncio.get_running_loop().create_future()
        self._tasks.append(asyncio.create_task(self._run(), name="streamer-client"))
        try:
            await self._ready
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Disconnect; a session without `end` is abandoned."""
        self._leaving = True
        if self._exchange.socket is not None:
            await self._exchange.socket.close(1000)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def reconnects(self) -> int:
        """How many times the session was resumed."""
        return self._exchange.reconnects

    @property
    def restarts(self) -> int:
        """How many times a session was lost and started anew: each is a `restart` among the messages."""
        return self._exchange.restarts

    async def speakers(self) -> list[Message]:
        """Everybody enrolled, page by page: `name`, `exemplars` and `speech` (seconds) of each."""
        found: list[Message] = []
        more: dict[str, Any] = {}
        while True:
            page = await self.ask("speakers", action="list", **more)
            found += page["speakers"]
            if not page.get("more") or not page["speakers"]:
                return found
            more = {"after": page["speakers"][-1]["name"]}

    @property
    def ready(self) -> Message:
        """The server's first answer: settings, model, scopes. Raises ConfigurationError before the session began."""
        if self._ready is None or not self._ready.done():
            raise ConfigurationError("ready: there is no session yet; enter the client first: async with Client(...).")
        return self._ready.result()

    def feed(self, source: Source) -> None:
        """Send everything from a source, then `end`, in a task of the client; a source's error becomes the client's."""
        self._tasks.append(asyncio.create_task(self._pump(source), name="streamer-client-source"))

    async def send(self, samples: NDArray[np.floating] | bytes) -> None:
        """Samples (n,) or (channels, n), full scale at 1, or bytes in the session's encoding; waits for room.

        Raises ConnectionLost or ServerRefused if the session is over.
        """
        data = samples if isinstance(samples, bytes) else encode_pcm(samples, self._encoding)
        width = BYTES_PER_SAMPLE[self._encoding] * self._channels
        if len(data) % width:
            raise ConfigurationError(f"{len(data)} bytes are not whole samples; one of every channel takes {width}.")
        async with self._exchange.changed:
            await self._exchange.changed.wait_for(lambda: self._exchange.backlog.unsent <= self._unsent or self._over)
            self._check()
            # Chunks of a tenth of a second: soon sent, and little to send again.
            step = width * max(1, self._start["sample_rate"] // 10)
            for at in range(0, len(data), step):
                self._exchange.backlog.add(data[at : at + step], len(data[at : at + step]) // width)
            self._exchange.changed.notify_all()

    async def gap(self, num_samples: int) -> None:
        """This many samples, at the session's rate, are missing: the server marks a gap."""
        async with self._exchange.changed:
            self._exchange.backlog.skip(num_samples)

    async def end(self) -> None:
        """No more audio will come; the last messages follow, and then the iteration ends."""
        async with self._exchange.changed:
            self._exchange.ending = True
            self._exchange.changed.notify_all()

    async def __aiter__(self) -> AsyncIterator[Message]:
        """Every message except answers to requests. Raises ConnectionLost or ServerRefused."""
        while (message := await self._exchange.messages.get()) is not None:
            yield message
        if self._failure is not None:
            raise self._failure

    async def ask(self, type_: str, **fields: Any) -> Message:
        """Send `flush`, `ping` or `speakers` and return the answer. Raises ServerRefused or ConnectionLost."""
        number = next(self._numbers)
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._exchange.requests[number] = future
        try:
            await self.tell(type_, request=number, **fields)
            answer = await future
        finally:
            del self._exchange.requests[number]
        if answer["type"] == "error":
            raise refusal(answer)
        return answer

    async def tell(self, type_: str, **fields: Any) -> None:
        """Send a message, such as `enroll`, after the audio that was given before it.

        Raises ProtocolError for a message that is not in the protocol, ConnectionLost if there is no connection.
        """
        message = {"type": type_, **fields}
        protocol.check(message, "client")
        async with self._exchange.changed:
            await self._exchange.changed.wait_for(lambda: self._exchange.backlog.unsent == 0 or self._over)
            self._check()
            socket = self._exchange.socket
        if socket is None:
            raise ConnectionLost("The connection is lost just now; try again when it is back.")
        with lost("The connection was lost before the message was sent; try again."):
            await socket.send(protocol.write(message))

    # Connections

    @property
    def _over(self) -> bool:
        return bool(self._tasks) and self._tasks[0].done()

    def _check(self) -> None:
        if self._over:
            raise self._failure or ConnectionLost("The session is over.")

    async def _pump(self, source: Source) -> None:
        try:
            async with source:
                async for event in source:
                    if isinstance(event, Chunk):
                        await self.send(event.samples)
                    else:
                        await self.gap(event.end_sample - event.start_sample)
            await self.end()
        except (ConnectionLost, ServerRefused):
            return  # the reader of the messages is told
        except Exception as error:
            self._failure = error
            self._tasks[0].cancel()

    async def _run(self) -> None:
        assert self._ready is not None
        try:
            await self._stay_connected()
        except Exception as error:  # whatever it is, the reader gets it
            self._failure = error
            if not self._ready.done():
                self._ready.set_exception(error)
        finally:
            await self._exchange.finish()

    async def _stay_connected(self) -> None:
        assert self._ready is not None
        while True:
            try:
                async with connect(
                    self.url,
                    subprotocols=[protocol.SUBPROTOCOL],  # type: ignore[list-item]
                    compression=None,
                    # While the server slows the audio down, its pongs come late; the exchange uses messages instead.
                    ping_interval=None,
                    close_timeout=2.0,
                    **self._options,
                ) as socket:
                    if await self._exchange.over(socket, self._begun):
                        return
            except SessionLost as lost_session:
                if not self._patient(lost_session.wait_s):
                    raise ConnectionLost(f"The session is lost: {lost_session}.") from None
                self._exchange.fail_requests()
                await self._exchange.begin_anew(str(lost_session))
                await asyncio.sleep(lost_session.wait_s)
                continue
            except ConnectionLost:  # an OSError too, but nothing to try again after
                raise
            except ServerBusy as busy:
                # The server stops, or is full; it still keeps a session that has begun.
                if not self._ready.done() or not self._patient(busy.retry_after):
                    raise
                await asyncio.sleep(busy.retry_after)
                continue
            except InvalidURI as error:
                raise ConfigurationError(f"url={self.url!r} is no ws:// or wss:// address: {error}.") from None
            except (InvalidHandshake, OSError, ConnectionClosed, TimeoutError) as error:
                # A connection that worked before may come back, whatever the error now.
                if not self._ready.done() or not self._patient(0.0):
                    raise unreachable(self.url, error) from None
            self._exchange.fail_requests()
            await asyncio.sleep(next(self._waits))

    def _patient(self, wait_s: float) -> bool:
        """Whether to try again after this long."""
        now = asyncio.get_running_loop().time()
        self._lost_at = self._lost_at or now
        return not self._leaving and now + wait_s - self._lost_at <= self._patience_s

    def _begun(self, ready: Message) -> None:
        """The session continues; the next loss is a new one."""
        assert self._ready is not None
        self._waits, self._lost_at = delays(random.Random()), 0.0
        if not self._ready.done():
            self._ready.set_result(ready)

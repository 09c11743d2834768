"""The server: one port, one engine, any number of rooms.

>>> async with Server(config, engine, store) as server:                            # doctest: +SKIP
...     await server.run()                                                          # until SIGTERM or `stop`
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from starlette.types import ASGIApp
from websockets.asyncio.server import Server as SocketServer

from streamer.engine.engine import Engine
from streamer.errors import ConfigurationError, EngineFailed
from streamer.protocol import Refusal
from streamer.server import log, tls, twilio
from streamer.server.admission import RETRY_AFTER_S, Admission
from streamer.server.auth import Access
from streamer.server.calls import Calls
from streamer.server.capacity import measure
from streamer.server.config import ServerConfig
from streamer.server.door import Plains
from streamer.server.entrance import Entrance, path_of
from streamer.server.gate import Gate
from streamer.server.hearing import Hearing
from streamer.server.http.site import site
from streamer.server.keeping.opening import open_session_store
from streamer.server.listening import address, listen, port_of
from streamer.server.metrics import Metrics
from streamer.server.peer import Peer
from streamer.server.people import People
from streamer.server.rooms import Rooms
from streamer.server.signals import Signals
from streamer.server.watchdog import Watchdog
from streamer.speakers import elsewhere
from streamer.speakers.backend import Backend
from streamer.speakers.store import SpeakerStore

# Between two checks of every session: short compared with a stats interval, long compared with the work.
TICK_S = 0.25
# How often to ask the speaker store for changes by other processes: an enrolment must be known within a second.
STORE_S = 0.5
# The share of the grace period in which clients may leave; sockets, events of calls and the engine need the rest.
LEAVE = 0.4


class Server:
    """Serves streams with a running engine.

    Raises ConfigurationError for an invalid token file or certificate, OSError for a port that is taken.
    """

    def __init__(self, config: ServerConfig, engine: Engine, store: SpeakerStore) -> None:
        self.config = config
        self.metrics = Metrics()
        self.admission = Admission(config.max_streams, config.max_streams_per_address, config.max_connections)
        self._engine = engine
        self._store = store
        self._entrance = Entrance(config, self.metrics)
        self._tls = tls.context(config)
        self._stopping = asyncio.Event()
        self._signals: Signals | None = None
        self._owns_process = False
        self._people: People
        self.failure: str | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._gate = Gate(config, self.identify, lambda: not self.admission.draining)
        self._hearing: Hearing
        self.site: ASGIApp
        self._plains: Plains
        self._calls: Calls | None = None
        self._sockets: SocketServer
        self._rooms: Rooms

    @property
    def port(self) -> int:
        return port_of(self._sockets)

    @property
    def url(self) -> str:
        """The address to open in a browser."""
        return address(self.config, self.port)

    @property
    def rooms(self) -> Rooms:
        return self._rooms

    @property
    def people(self) -> People:
        return self._people

    # Start and end

    async def __aenter__(self) -> Server:
        model = self._engine.model
        backend = Backend.of(model)
        self._people = people = await asyncio.to_thread(
            People, self._store, model.fingerprint, model.dimension, backend
        )
        capacity = await measure(self._engine)
        if not self.config.max_streams:
            self.admission.max_streams = capacity
        clock = asyncio.get_running_loop().time
        session_store = await asyncio.to_thread(open_session_store, self.config)
        self._rooms = Rooms(self._engine, people, self.admission, self.config, self.metrics, clock, session_store)
        self._hearing = hearing = Hearing(self._engine, people, self.admission, self.config, self.metrics)
        refuse = self.admission.open
        self.site = site(self.config, self.metrics, self.identify, hearing, self._rooms, people, refuse)
        self._plains = Plains(self.site)
        self._watch()
        if self.config.twilio_webhook:
            self._calls = Calls(self.config, self.metrics)
        try:
            self._sockets = await self._listen()
        except BaseException:
            await self._stop_calls()
            people.close()
            raise
        self._tasks = [
            asyncio.create_task(self._tick()),
            asyncio.create_task(self._follow_store(people)),
            asyncio.create_task(self._watch_engine()),
        ]
        log.say(
            "listening",
            url=self.url,
            model=model.card.name,
            fingerprint=model.fingerprint,
            max_streams=self.admission.max_streams,
            tokens=self._count_tokens(),
            tls=self._tls is not None,
        )
        if people.elsewhere:
            log.say(
                "enrolled under another model",
                level=logging.WARNING,
                people=len(people.elsewhere),
                advice=elsewhere.way_out(people.elsewhere),
            )
        if not self.config.local and self._tls is None:
            log.say("not encrypted", level=logging.WARNING, advice="set cert and key, or put a TLS proxy in front")
        return self

    async def _listen(self) -> SocketServer:
        """Accept connections from now on."""
        refused = self.metrics.refused.inc
        return await listen(self.handle, self.config, self._gate, self._tls, self.admission, self._plains, refused)

    async def __aexit__(self, *exception: object) -> None:
        self.admission.draining = True
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await self._rooms.shut()
        self._sockets.close(code=1012)
        await self._plains.close()
        await self._sockets.wait_closed()
        self._hearing.close()
        await self._stop_calls()
        self._people.close()
        if self._signals is not None and not self._owns_process:
            self._signals.release()

    def stop(self) -> None:
        """Make `run` return: it takes no new streams, and tells running ones to resume elsewhere."""
        self._stopping.set()

    async def run(self, ready: Callable[[], None] = lambda: None, force: Callable[[], None] | None = None) -> None:
        """Serve until `stop`, SIGTERM or SIGINT, then drain. SIGHUP reads tokens and certificate again.

        ready: called when signals are handled. force: ends the process if stopping takes longer than `grace_s`. With
        it, the server owns the process, so a second signal does not interrupt the last steps. Raises EngineFailed if
        the engine cannot continue; clients have been told.
        """
        self._signals = Signals(self.stop, self.reload, self.config.grace_s, force)
        self._owns_process = force is not None
        self._signals.heed()
        ready()
        await self._stopping.wait()
        self._signals.begin_to_stop()
        if self.failure is None:
            await self.drain()
        else:
            await self._rooms.gone(LEAVE * self.config.grace_s)
            raise EngineFailed(f"{self.failure} Start the server again; its log has the reason.")

    async def drain(self) -> None:
        """Take no new streams, dismiss the running ones, and save what can be resumed."""
        self.admission.draining = True
        log.say("draining", sessions=len(self._rooms))
        message = f"The server stops; connect again in {RETRY_AFTER_S:g} s."
        leave_s = LEAVE * self.config.grace_s
        await asyncio.gather(self._rooms.close(message, RETRY_AFTER_S, leave_s), self._plains.finish(leave_s))

    def fail(self, problem: str) -> None:
        """The server cannot continue: refuse new streams, tell the clients, and let `run` return."""
        if self.failure is None:
            self.failure = problem
            self.admission.draining = True
            log.say("engine failed", level=logging.CRITICAL, problem=problem)
            self._rooms.fail(problem, RETRY_AFTER_S)
            self.stop()

    def reload(self) -> None:
        """Read the token file and the certificate again; keep both old ones if either of the new ones is invalid."""
        try:
            tokens = self._entrance.read_tokens()
            if self._tls is not None:
                # New connections use it at once: each handshake reads the context.
                tls.reload(self._tls, self.config)
        except ConfigurationError as error:
            log.say(
                "reload failed", level=logging.ERROR, problem=str(error), kept="tokens and certificate as they were"
            )
        else:
            self._entrance.tokens = tokens
            log.say("reloaded", tokens=self._count_tokens())

    def identify(self, token: str | None) -> Access | None:
        """The access of a token; without a token file, everybody has full access."""
        return self._entrance.identify(token)

    def _count_tokens(self) -> int | None:
        return None if self._entrance.tokens is None else len(self._entrance.tokens)

    # A connection

    async def handle(self, connection: Peer) -> None:
        """From `start` to the end of the connection. Raises only for a bug in this package."""
        await self._entrance.receive(connection, self._serve)

    async def _serve(self, connection: Peer) -> None:
        access = self._entrance.access
        if self._calls is not None and path_of(connection) == twilio.PATH:
            return await self._calls.serve(connection, self._rooms, lambda token: access(connection, token, "stream"))
        start = await self._entrance.first(connection)
        if start["type"] == "watch":
            allowed = access(connection, start.get("token"), "watch", "stream", "admin")
            return await self._rooms.watch(start["room"], allowed, connection)
        allowed = access(connection, start.get("token"), "stream")
        if "resume" in start:
            room = await self._rooms.resume(start["resume"], allowed)
        else:
            room = await self._rooms.begin(start, allowed, connection.address)
        await self._rooms.serve(room, connection, start, allowed.scopes)

    # Internal tasks

    async def _stop_calls(self) -> None:
        if self._calls is not None:
            await self._calls.close()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            try:
                await self._rooms.tick()
            except Exception:
                log.say("tick failed", level=logging.ERROR, exc_info=True)

    async def _watch_engine(self) -> None:
        watchdog = Watchdog(self.config.engine_timeout_s, TICK_S)
        clock = asyncio.get_running_loop().time
        while (problem := watchdog.look(self._engine.health, clock())) is None:  # noqa: ASYNC110 - time is what it sees
            await asyncio.sleep(TICK_S)
        self.fail(problem)

    async def _follow_store(self, people: People) -> None:
        while True:
            await asyncio.sleep(STORE_S)
            try:
                if await people.refresh():
                    self._rooms.listen_again()
            except Refusal:  # it is already in the log
                continue
            except Exception:  # keep following the store: later enrolments must arrive
                log.say("speaker store", level=logging.ERROR, exc_info=True)

    def _watch(self) -> None:
        def now() -> dict[str, float]:
            statistics = self._engine.statistics
            return {
                "streams": self.admission.streams,
                "connections": self.admission.connections,
                "detached": self._rooms.detached,
                "batch_size": statistics.mean_batch,
                "device_s": statistics.busy_s,
            }

        self.metrics.capacity.set(self.admission.max_streams)
        self.metrics.watch(now)

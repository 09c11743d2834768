"""The routes of the plain HTTP side, and the rules that apply to all of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from h11 import LocalProtocolError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamer import protocol
from streamer.errors import StreamerError
from streamer.protocol import Refusal
from streamer.server import log
from streamer.server.auth import Access
from streamer.server.config import ServerConfig
from streamer.server.hearing import Hearing
from streamer.server.http import documents, page
from streamer.server.http.access import Doorkeeper
from streamer.server.http.events import Events
from streamer.server.http.people import PeopleRoutes
from streamer.server.http.problems import Problem, problem_of
from streamer.server.http.recordings import Recordings
from streamer.server.metrics import CONTENT_TYPE, Metrics
from streamer.server.people import People
from streamer.server.rooms import Rooms

#: The paths for monitoring, which work even if the server is full.
WATCHED = ("/healthz", "/readyz", "/metrics")
#: How long a refused client may go on sending before the connection is closed.
LINGER_S = 2.0

Endpoint = Callable[[Request], Awaitable[Response]]


def site(
    config: ServerConfig,
    metrics: Metrics,
    identify: Callable[[str | None], Access | None],
    hearing: Hearing,
    rooms: Rooms,
    people: People,
    refuse: Callable[[], None],
) -> ASGIApp:
    """The application. identify: the access of a token, or None. refuse: raises Refusal if the server takes no new
    work."""
    doorkeeper = Doorkeeper(config, identify)
    recordings = Recordings(config, doorkeeper, hearing, rooms.listen_again)
    persons = PeopleRoutes(doorkeeper, people, rooms.listen_again)
    events = Events(config, doorkeeper, rooms.stages, refuse)
    watched = Watched(config, metrics, doorkeeper, refuse)
    person = "/v1/speakers/{name}"
    routes = [
        Route("/healthz", watched.health),
        Route("/readyz", watched.ready),
        Route("/metrics", watched.metrics),
        Route("/v1/identify", recordings.identify, methods=["POST"]),
        Route("/v1/embed", recordings.embed, methods=["POST"]),
        Route("/v1/speakers", persons.page),
        Route(person, by_method(GET=persons.one, HEAD=persons.one, PUT=recordings.enroll, PATCH=persons.rename,
                                DELETE=persons.remove), methods=["GET", "PUT", "PATCH", "DELETE"]),
        Route("/v1/rooms/{room}/events", events.watch),
        *(Route(path, document(body)) for path, body in documents.served().items()),
        Route(protocol.PATH, upgrade),
        *(Route(path, page.show) for path in page.assets()),
    ]  # fmt: skip
    return application(routes, config, metrics)


def application(routes: Sequence[Route], config: ServerConfig, metrics: Metrics) -> ASGIApp:
    """These routes, with what holds for all of them."""

    async def answer(request: Request, error: Exception) -> Response:
        problem = problem_of(request, error)
        metrics.errors.labels(problem.code).inc()
        return problem.response()

    handlers: dict[Any, Any] = {kind: answer for kind in (Problem, Refusal, StreamerError, HTTPException)}
    cross = Middleware(
        CORSMiddleware,
        allow_origins=list(config.origins),
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Last-Event-ID"],
    )
    inner = Starlette(routes=routes, exception_handlers=handlers, middleware=[cross] if config.origins else [])
    inner.router.redirect_slashes = False
    return FrontMiddleware(inner, metrics, config.http_timeout_s)


def by_method(**endpoints: Endpoint) -> Endpoint:
    async def serve(request: Request) -> Response:
        return await endpoints[request.method](request)

    return serve


def document(body: dict[str, Any]) -> Endpoint:
    async def serve(request: Request) -> Response:
        return JSONResponse(body, headers={"Cache-Control": "no-cache"})

    return serve


async def upgrade(request: Request) -> Response:
    raise Problem(426, "upgrade_required", "Streams are WebSockets.", "See /asyncapi.json.")


class Watched:
    """Health and metrics."""

    def __init__(
        self, config: ServerConfig, metrics: Metrics, doorkeeper: Doorkeeper, refuse: Callable[[], None]
    ) -> None:
        self._config, self._metrics, self._doorkeeper, self._refuse = config, metrics, doorkeeper, refuse

    async def health(self, request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(self, request: Request) -> Response:
        try:
            self._refuse()
        except Refusal:
            return PlainTextResponse("No new streams are taken now.\n", 503)
        return PlainTextResponse("ready\n")

    async def metrics(self, request: Request) -> Response:
        if not self._config.public_metrics:
            access = self._doorkeeper.reader(request)
            if access is None or "admin" not in access.scopes:
                message = "Metrics need a token with the scope admin, or the setting public_metrics."
                raise Problem(401, "unauthorized", message, "Send one: Authorization: Bearer ...")
        return Response(self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})


class FrontMiddleware:
    """Wraps all routes. It handles a full server, internal errors and headers. A client that still sends when it gets
    its response is not cut off before it has read the response."""

    def __init__(self, application: ASGIApp, metrics: Metrics, timeout_s: float) -> None:
        self._application = application
        self._metrics = metrics
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = _Exchange(receive, send, expects=any(name == b"expect" for name, _ in scope["headers"]))
        door = scope["state"]["door"]
        if door.spare and scope["path"] not in WATCHED:
            full = Problem(503, "busy", "All connections are taken.", "Try again later.", 5.0)
            await full.response()(scope, receive, exchange.send)
            return await exchange.end()
        door.allow(self._timeout_s)
        try:
            await self._application(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            return
        except Exception:
            log.say("request failed", level=logging.ERROR, exc_info=True)
            self._metrics.errors.labels("internal").inc()
            if exchange.status is None:
                mistake = Problem(500, "internal", "The server made a mistake.", "Try again.")
                await mistake.response()(scope, receive, exchange.send)
        await exchange.end()


class _Exchange:
    """One request's messages. status: of the response, once there is one."""

    def __init__(self, receive: Receive, send: Send, *, expects: bool) -> None:
        self.status: int | None = None
        self._receive, self._send = receive, send
        # A client that waits for "100 Continue" sends no body after another response.
        self._more_body = True
        self._expects = expects

    async def receive(self) -> Message:
        message = await self._receive()
        self._expects = False
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._more_body = False
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            extra = [(b"x-content-type-options", b"nosniff"), (b"connection", b"close")]
            message = {**message, "headers": [*message.get("headers", []), *extra]}
        else:
            message = {**message, "more_body": True}
        await self._say(message)

    async def end(self) -> None:
        """The response is sent completely; the connection ends once the client has received it."""
        if self._more_body and not self._expects:
            with suppress(TimeoutError):
                async with asyncio.timeout(LINGER_S):
                    while self._more_body:
                        await self.receive()
        await self._say({"type": "http.response.body", "body": b"", "more_body": False})

    async def _say(self, message: Message) -> None:
        # If a body breaks off in the middle of a chunk, uvicorn has already answered.
        with suppress(LocalProtocolError):
            await self._send(message)

"""The routes of a second screen: the page, the overlay and the events of its one room."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from streamer import protocol
from streamer.protocol import Refusal
from streamer.server.auth import Access
from streamer.server.config import ServerConfig
from streamer.server.http import page
from streamer.server.http.access import Doorkeeper
from streamer.server.http.events import Events
from streamer.server.http.site import Watched, application, upgrade
from streamer.server.metrics import Metrics
from streamer.server.stages import Stages

#: The refusal of requests that are not for viewing, and what to do instead.
ONLY_VIEWING = (
    "This server only shows the room of a meeting: it takes no audio, and changes no profiles.",
    "Open the address that the meeting printed to watch the room; for sessions of your own, run `streamer serve`.",
)
NO_ROOM = "This server shows one room: open the address that the meeting printed, {path}?room=NAME.\n"
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def viewing(
    config: ServerConfig,
    metrics: Metrics,
    identify: Callable[[str | None], Access | None],
    stages: Stages,
    room: str,
    refuse: Callable[[], None],
) -> ASGIApp:
    """The application. room: the name of its room. For the other parameters, see `streamer.server.http.site.site`."""
    doorkeeper = Doorkeeper(config, identify)
    watched = Watched(config, metrics, doorkeeper, refuse)

    async def show(request: Request) -> Response:
        """A file of the page. Its address has to name the room; a request that may watch is sent to that address."""
        path = request.url.path
        if path not in ("/", "/overlay") or "room" in request.query_params:
            return await page.show(request)
        access = doorkeeper.reader(request)
        if access is None or access.scopes.isdisjoint({"watch", "admin"}):
            return PlainTextResponse(NO_ROOM.format(path=path), 404)
        return RedirectResponse(f"?room={room}", 307, {"Cache-Control": "no-store"})

    async def only_viewing(request: Request) -> Response:
        raise Refusal("forbidden", *ONLY_VIEWING)

    routes = [
        Route("/healthz", watched.health),
        Route("/readyz", watched.ready),
        Route("/v1/rooms/{room}/events", Events(config, doorkeeper, stages, refuse).watch),
        Route(protocol.PATH, upgrade),
        Route("/v1/{rest:path}", only_viewing, methods=METHODS),
        *(Route(path, show) for path in page.assets()),
    ]
    return application(routes, config, metrics)

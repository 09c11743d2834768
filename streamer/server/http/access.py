"""Access control for requests, with the rules of the WebSocket."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request

from streamer.server import origins
from streamer.server.auth import EVERYBODY, Access, presented
from streamer.server.config import ServerConfig
from streamer.server.http.problems import Problem


class Doorkeeper:
    """identify: the access of a bearer token, or None."""

    def __init__(self, config: ServerConfig, identify: Callable[[str | None], Access | None]) -> None:
        self._config = config
        self._identify = identify

    def admit(self, request: Request, *scopes: str) -> Access:
        """The access of a request, which needs one of the scopes. Raises Problem.

        Pages of other origins are refused. If no token is needed, so are pages whose name was made to point here (DNS
        rebinding).
        """
        access = self.reader(request)
        origin, host = request.headers.get("origin"), request.headers.get("host")
        if not origins.allowed(origin, host, self._config.origins, loopback=self._config.local):
            raise _strange()
        if access is None:
            raise Problem(401, "unauthorized", "A known bearer token is needed.", "Send one: Authorization: Bearer ...")
        if access.scopes.isdisjoint(scopes):
            raise Problem(
                403, "forbidden", f"This token does not have the scope {' or '.join(scopes)}.", "Use one that has it."
            )
        return access

    def reader(self, request: Request) -> Access | None:
        """The access of a request, or None if it is unknown. Raises Problem for a page that pretends to be local."""
        access = self._identify(presented(request.headers.get("authorization"), ()))
        if access is EVERYBODY and not origins.hosted(request.headers.get("host"), self._config.origins):
            raise _strange()
        return access


def _strange() -> Problem:
    return Problem(403, "forbidden", "This is for pages of this server.", "See the setting origins.")

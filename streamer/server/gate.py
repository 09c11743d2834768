"""Access control for WebSockets: the checks before `websockets` accepts a connection."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from http import HTTPStatus

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from streamer.server import origins, twilio
from streamer.server.auth import Access, presented
from streamer.server.config import ServerConfig
from streamer.server.secret import read_secret


class Gate:
    """`process_request` of the server.

    identify: the access of a bearer token, or None. open: whether new streams are taken now.
    Raises ConfigurationError for an invalid file of Twilio's auth token.
    """

    def __init__(
        self, config: ServerConfig, identify: Callable[[str | None], Access | None], open: Callable[[], bool]
    ) -> None:
        self._config = config
        self._identify = identify
        self._open = open
        token = read_secret("twilio_auth_token_file", config.twilio_auth_token_file)
        self._call_signature = twilio.sign(config.twilio_url, token) if token else None

    def process_request(self, connection: object, request: Request) -> Response | None:
        """A response that refuses the connection, or None to accept it."""
        path, _, query = request.path.partition("?")
        if getattr(connection, "spare", False):
            return _text(HTTPStatus.SERVICE_UNAVAILABLE, "All connections are taken; try again later.\n")
        if path == twilio.PATH and (refused := self._unsigned(request)) is not None:
            return refused
        if self._config.state_store and not self._open():
            # Other servers share the sessions: a proxy passes a connection that is refused like this to one of them.
            return _text(HTTPStatus.SERVICE_UNAVAILABLE, "No new streams are taken now; another server does.\n")
        if query:
            # A token in a URL ends up in the logs of every proxy on the way.
            return _text(
                HTTPStatus.BAD_REQUEST,
                "No query is taken here; send the token as a header, a subprotocol or in `start`.\n",
            )
        origin, host = _first(request, "Origin"), _first(request, "Host")
        if not origins.allowed(origin, host, self._config.origins, loopback=self._config.local):
            return _text(HTTPStatus.FORBIDDEN, "This page's origin may not connect; see the setting origins.\n")
        token = presented(_first(request, "Authorization"), offered(request))
        if token is not None and self._identify(token) is None:
            return _text(HTTPStatus.UNAUTHORIZED, "This token is not known.\n", **{"WWW-Authenticate": "Bearer"})
        return None

    def _unsigned(self, request: Request) -> Response | None:
        """Refuse requests that are not signed by Twilio for the operator's account, if that is configured."""
        # Some releases of `websockets` do not return a header's invalid bytes as text: see Tokens.find.
        signature = (_first(request, twilio.SIGNATURE) or "").encode(errors="surrogatepass")
        if self._call_signature is None or hmac.compare_digest(signature, self._call_signature.encode()):
            return None
        return _text(HTTPStatus.FORBIDDEN, f"{twilio.SIGNATURE} is not that of this address; see twilio_url.\n")


def offered(request: Request) -> list[str]:
    """The subprotocols that a client offers."""
    values = request.headers.get_all("Sec-WebSocket-Protocol")
    return [part.strip() for value in values for part in value.split(",")]


def _text(status: HTTPStatus, text: str, **headers: str) -> Response:
    body = text.encode()
    every = {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": str(len(body)),
        "X-Content-Type-Options": "nosniff",
        "Connection": "close",
        **headers,
    }
    return Response(status.value, status.phrase, Headers(every), body)


def _first(request: Request, name: str) -> str | None:
    # No honest request repeats a header; taking the first keeps `websockets` from raising.
    values = request.headers.get_all(name)
    return values[0] if values else None

"""The plain HTTP side of the port: the page, health, metrics, and who may open a WebSocket."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
from collections.abc import Callable
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from streamer.server import origins, protocol, twilio
from streamer.server.auth import EVERYBODY, Access, presented
from streamer.server.config import ServerConfig
from streamer.server.metrics import CONTENT_TYPE, Metrics
from streamer.server.people import PAGE
from streamer.server.secret import read_secret

#: Where the page asks who is enrolled before anybody listens.
PEOPLE_PATH = "/v1/speakers"

TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}

# Everything the page needs comes from this server, and nothing else may load or run.
POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@cache
def assets() -> dict[str, tuple[str, bytes, str]]:
    """URL path to content type, body (gzip) and ETag of each file of the page."""
    found = {}
    for file in files("streamer.server").joinpath("page").iterdir():
        kind = TYPES.get(file.name.rpartition(".")[2])
        if kind is None:
            continue
        body = gzip.compress(file.read_bytes(), mtime=0)
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        name = file.name.removesuffix(".html")
        url = "/" if name == "index" else f"/{name}"
        found[url] = (f"{kind}; charset=utf-8", body, tag)
    return found


class Http:
    """`process_request` of the server.

    identify: the access that a bearer token gives, or None. ready: whether new streams are taken. people: a page of the
    enrolled after a name, of at most so many.
    Raises ConfigurationError for a file of Twilio's auth token that can't be used.
    """

    def __init__(
        self,
        config: ServerConfig,
        metrics: Metrics,
        identify: Callable[[str | None], Access | None],
        ready: Callable[[], bool],
        people: Callable[[str | None, int], dict[str, Any]],
    ) -> None:
        self._config = config
        self._metrics = metrics
        self._identify = identify
        self._ready = ready
        self._people = people
        token = read_secret("twilio_auth_token_file", config.twilio_auth_token_file)
        self._call_signature = twilio.sign(config.twilio_url, token) if token else None

    def process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        """An HTTP answer, or None to go on with the WebSocket."""
        if request.method != "GET":
            return _text(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET is served here.\n", Allow="GET")
        path, _, query = request.path.partition("?")
        if getattr(connection, "spare", False) and path not in ("/healthz", "/readyz", "/metrics"):
            return _text(HTTPStatus.SERVICE_UNAVAILABLE, "All connections are taken; try again later.\n")
        if path == protocol.PATH:
            return self._stream(request, query)
        if path == twilio.PATH and self._config.twilio_webhook:
            return self._unsigned(request) or self._stream(request, query)
        if path == "/healthz":
            return _text(HTTPStatus.OK, "ok\n")
        if path == "/readyz":
            if self._ready():
                return _text(HTTPStatus.OK, "ready\n")
            return _text(HTTPStatus.SERVICE_UNAVAILABLE, "No new streams are taken now.\n")
        if path == "/metrics":
            return self._show_metrics(request)
        if path == PEOPLE_PATH:
            return self._show_people(request, query)
        if path in assets():
            return _asset(path, _first(request, "If-None-Match"))
        return _text(HTTPStatus.NOT_FOUND, f"There is nothing here. Streams go to {protocol.PATH}.\n")

    def _unsigned(self, request: Request) -> Response | None:
        """A refusal of what is not Twilio, or not for the operator's account, where that is asked for."""
        # Not every release of `websockets` gives a header's odd bytes as text: see Tokens.find.
        signature = (_first(request, twilio.SIGNATURE) or "").encode(errors="surrogatepass")
        if self._call_signature is None or hmac.compare_digest(signature, self._call_signature.encode()):
            return None
        return _text(HTTPStatus.FORBIDDEN, f"{twilio.SIGNATURE} is not that of this address; see twilio_url.\n")

    def _stream(self, request: Request, query: str) -> Response | None:
        if self._config.state_store and not self._ready():
            # Other servers have the same sessions: a proxy passes on to one of them what it sees refused like this.
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

    def _show_metrics(self, request: Request) -> Response:
        if not self._config.public_metrics:
            access, strange = self._reader(request)
            if strange:
                return _text(HTTPStatus.FORBIDDEN, "Metrics are for this machine's own names; see public_metrics.\n")
            if access is None or "admin" not in access.scopes:
                return _text(
                    HTTPStatus.UNAUTHORIZED,
                    "Metrics need a token with the scope admin, or the setting public_metrics.\n",
                    **{"WWW-Authenticate": "Bearer"},
                )
        return _respond(HTTPStatus.OK, self._metrics.text(), CONTENT_TYPE)

    def _show_people(self, request: Request, query: str) -> Response:
        """Who is enrolled, as `speaker_list` has it, and what whoever asks may do."""
        access, strange = self._reader(request)
        origin, host = _first(request, "Origin"), _first(request, "Host")
        if strange or not origins.allowed(origin, host, self._config.origins, loopback=self._config.local):
            return _text(HTTPStatus.FORBIDDEN, "People are for pages of this server; see the setting origins.\n")
        if access is None:
            return _text(HTTPStatus.UNAUTHORIZED, "A token is needed.\n", **{"WWW-Authenticate": "Bearer"})
        if "stream" not in access.scopes:
            return _text(HTTPStatus.FORBIDDEN, "This token has not the scope stream.\n")
        asked = parse_qs(query, keep_blank_values=True)
        limit = asked.pop("limit", [str(PAGE)])[-1]
        after = asked.pop("after", [None])[-1]
        if asked or not limit.isdecimal() or not 1 <= len(limit) <= 4 or int(limit) < 1:
            return _text(HTTPStatus.BAD_REQUEST, f"Only after=NAME and limit=1 to {PAGE} are taken here.\n")
        page = self._people(after, int(limit)) | {"scopes": sorted(access.scopes)}
        body = json.dumps(page, ensure_ascii=False).encode()
        return _respond(HTTPStatus.OK, body, "application/json", **{"Cache-Control": "no-store"})

    def _reader(self, request: Request) -> tuple[Access | None, bool]:
        """Who reads, and whether they are a page whose name was made to point here: where no token is asked for, such
        a one must not read."""
        access = self._identify(presented(_first(request, "Authorization"), ()))
        return access, access is EVERYBODY and not origins.hosted(_first(request, "Host"), self._config.origins)


def offered(request: Request) -> list[str]:
    """The subprotocols that a client offers."""
    values = request.headers.get_all("Sec-WebSocket-Protocol")
    return [part.strip() for value in values for part in value.split(",")]


def _asset(path: str, known: str | None) -> Response:
    kind, body, tag = assets()[path]
    extra = {
        "ETag": tag,
        "Cache-Control": "no-cache",
        "Content-Security-Policy": POLICY,
        "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
        "Referrer-Policy": "no-referrer",
    }
    if known == tag:
        return _respond(HTTPStatus.NOT_MODIFIED, b"", kind, **extra)
    return _respond(HTTPStatus.OK, body, kind, **extra, **{"Content-Encoding": "gzip"})


def _text(status: HTTPStatus, text: str, **headers: str) -> Response:
    return _respond(status, text.encode(), "text/plain; charset=utf-8", **headers)


def _respond(status: HTTPStatus, body: bytes, kind: str, **headers: str) -> Response:
    every = {
        "Content-Type": kind,
        "Content-Length": str(len(body)),
        "X-Content-Type-Options": "nosniff",
        "Connection": "close",
        **headers,
    }
    return Response(status.value, status.phrase, Headers(every), body)


def _first(request: Request, name: str) -> str | None:
    # A header that comes twice is nobody's honest request; taking the first keeps `websockets` from raising.
    values = request.headers.get_all(name)
    return values[0] if values else None

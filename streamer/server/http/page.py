"""The web page: its files, and the browser's permissions."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}

# Everything that the page needs comes from this server; nothing else may load or run.
POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@cache
def assets() -> dict[str, tuple[str, bytes, str]]:
    """URL path -> content type, body (gzip) and ETag, for each file of the page."""
    found = {}
    # Its WebSocket code is that of the JavaScript package.
    shared = [file for file in files("streamer.client").joinpath("javascript").iterdir() if file.name.endswith(".js")]
    for file in [*files("streamer.server").joinpath("page").iterdir(), *shared]:
        kind = TYPES.get(file.name.rpartition(".")[2])
        if kind is None:
            continue
        body = gzip.compress(file.read_bytes(), mtime=0)
        # Weak, since it is the same for both encodings.
        tag = f'W/"{hashlib.sha256(body).hexdigest()[:16]}"'
        name = file.name.removesuffix(".html")
        url = "/" if name == "index" else f"/{name}"
        found[url] = (f"{kind}; charset=utf-8", body, tag)
    return found


async def show(request: Request) -> Response:
    """Serve a file of the page."""
    kind, body, tag = assets()[request.url.path]
    headers = {
        "ETag": tag,
        "Cache-Control": "no-cache",
        "Content-Type": kind,
        "Content-Security-Policy": POLICY,
        "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
        "Referrer-Policy": "no-referrer",
        "Vary": "Accept-Encoding",
    }
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    if _takes_gzip(request.headers.get("accept-encoding", "")):
        return Response(body, headers={**headers, "Content-Encoding": "gzip"})
    return Response(gzip.decompress(body), headers=headers)


def _takes_gzip(accepted: str) -> bool:
    """Whether the client accepts gzip: browsers do, and with curl people want to read the page."""
    for offer in accepted.lower().split(","):
        coding, _, weight = offer.replace(" ", "").partition(";")
        if coding in ("gzip", "*"):
            return weight not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False

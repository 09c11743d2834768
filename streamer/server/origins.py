"""Which web pages may connect: a browser sends the origin of its page, and no page can change that.

Without this, any page that a user visits could open a socket to a server on their own machine.
https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Origin
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address: `localhost`, 127.0.0.0/8, ::1."""
    try:
        return ip_address(host.strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def allowed(origin: str | None, host: str | None, others: Sequence[str], *, loopback: bool) -> bool:
    """Whether a connection with this `Origin` header is allowed.

    A program sends no origin and is allowed. A page is allowed if it is listed in `others` ("*" lists all), or if this
    server served it: its host and port are those of the `Host` header. On a loopback address, the name in `Host` must
    be a loopback name too, or a page could make its own name point here (DNS rebinding).
    """
    if origin is None:
        return True
    if "*" in others or origin.rstrip("/").lower() in {other.rstrip("/").lower() for other in others}:
        return True
    try:
        page = urlsplit(origin)
    except ValueError:  # an invalid address, such as http://[::1
        return False
    if page.scheme not in ("http", "https") or host is None or page.netloc.lower() != host.lower():
        return False
    return not loopback or is_loopback(page.hostname or "")


def hosted(host: str | None, others: Sequence[str]) -> bool:
    """Whether a request to a loopback address names it by a loopback name, or by that of a page listed in `others`. A
    request without a `Host` header does not come from a browser."""
    if host is None:
        return True
    try:
        name = urlsplit(f"//{host}").hostname or ""
        listed = {(urlsplit(other).hostname or "").lower() for other in others}
    except ValueError:
        return False
    return is_loopback(name) or name.lower() in listed

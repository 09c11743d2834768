"""Sends events to a web server in signed batches, with retries and growing pauses, without ever delaying the meeting.

A separate thread sends; the session only puts events into a bounded queue. When the queue is full, the oldest events
are dropped, and the next batch says how many.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import ssl
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from streamer.errors import ConfigurationError
from streamer.sinks.base import SessionView, Sink
from streamer.speakers.events import Event

if TYPE_CHECKING:
    import httpx2


SIGNATURE = "X-Streamer-Signature"
BATCH = "X-Streamer-Batch"
LONGEST_PAUSE_S = 60.0


def sign(secret: str, body: bytes, timestamp: int) -> str:
    """The value of the signature header: HMAC-SHA256 over the time and the body, so that neither can be changed or
    replayed.

    >>> sign("secret", b"{}", 1700000000)
    't=1700000000,v1=b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163'
    """
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def verify(secret: str, body: bytes, signature: str, now: float, tolerance_s: float = 300.0) -> bool:
    """Whether a batch is signed with the secret, and not older than the tolerance."""
    timestamp = signature.partition(",")[0].removeprefix("t=")
    if not (timestamp.isascii() and timestamp.isdigit()) or abs(now - int(timestamp)) > tolerance_s:
        return False
    return hmac.compare_digest(signature, sign(secret, body, int(timestamp)))


class Webhook(Sink):
    """POSTs events as JSON: {"session", "batch", "dropped", "events": [...]}.

    url: http:// or https://. secret: see `sign`; without it, requests are not signed. batch: most events in a request;
    every_s: how long an event waits for others. capacity: events that may wait; beyond it, the oldest are dropped.
    timeout_s: for one request. first_pause_s: after a failure; doubled each time, up to a minute, with jitter.
    close_s: how long the end of the meeting waits for the remaining events.

    A 2xx response accepts a batch. After 408, 425, 429 and 5xx, and without a response, the batch is sent again with
    the same id; any other response refuses it for good. `statistics` counts all of these.
    """

    def __init__(
        self,
        url: str,
        *,
        secret: str | None = None,
        batch: int = 50,
        every_s: float = 1.0,
        capacity: int = 10_000,
        timeout_s: float = 10.0,
        first_pause_s: float = 0.5,
        close_s: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        _check(url)
        if batch < 1 or capacity < batch:
            raise ConfigurationError(f"webhook: batch={batch} must be 1 or more, and capacity={capacity} no less.")
        self._url = url
        self._client: httpx2.Client | None = None
        self._secret, self._batch, self._every_s, self._capacity = secret, batch, every_s, capacity
        self._timeout_s, self._first_pause_s, self._close_s = timeout_s, first_pause_s, close_s
        self._clock = clock
        self._waiting: deque[dict[str, Any]] = deque()
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._given_up = threading.Event()
        self._under_way = 0
        self._dropped = 0
        self._session = ""
        self.statistics = {"sent": 0, "dropped": 0, "refused": 0, "retries": 0}
        self.problem = ""
        self._thread = threading.Thread(target=self._run, name="streamer-webhook", daemon=True)
        self._thread.start()

    def event(self, event: Event, session: SessionView) -> None:
        self._session = session.name if session is not None else ""
        self.put(event.to_dict())

    def put(self, event: dict[str, Any]) -> None:
        """Queue an event as a JSON object, of any session. Never waits."""
        with self._changed:
            if len(self._waiting) >= self._capacity:
                self._waiting.popleft()
                self._drop(1)
            self._waiting.append(event)
            self._changed.notify()

    def close(self, session: SessionView | None = None) -> None:
        """Send the rest, for up to `close_s`; then the rest counts as dropped, and so does a batch without a
        response."""
        self._closing.set()
        with self._changed:
            self._changed.notify()
        self._thread.join(self._close_s)
        self._given_up.set()
        with self._changed:
            self._drop(len(self._waiting) + self._landed())
            self._waiting.clear()

    def _drop(self, count: int) -> None:
        self._dropped += count
        self.statistics["dropped"] += count

    def _landed(self) -> int:
        """The number of events in the batch in flight, and reset it: only the first caller counts them."""
        count, self._under_way = self._under_way, 0
        return count

    def _run(self) -> None:
        while (events := self._next()) is not None:
            with self._changed:
                dropped, self._dropped = self._dropped, 0
            name = uuid.uuid4().hex
            body = json.dumps(
                {"session": self._session, "batch": name, "dropped": dropped, "events": events}, ensure_ascii=False
            ).encode(errors="replace")  # a lone surrogate must not end this thread
            if events:
                self._deliver(name, body)
        if self._client is not None:
            self._client.close()

    def _next(self) -> list[dict[str, Any]] | None:
        """The next batch, when it is full or has waited long enough; None after the last one, when the meeting is
        over."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing.is_set())
            full = lambda: len(self._waiting) >= self._batch or self._closing.is_set()  # noqa: E731
            self._changed.wait_for(full, self._every_s)
            if not self._waiting:
                return None if self._closing.is_set() else []
            self._under_way = min(self._batch, len(self._waiting))
            return [self._waiting.popleft() for _ in range(self._under_way)]

    def _deliver(self, name: str, body: bytes) -> None:
        pause_s = self._first_pause_s
        while not self._given_up.is_set():
            status, retry_after_s = self._post(name, body)
            taken = 200 <= status < 300
            if taken or (status not in (0, 408, 425, 429) and status < 500):
                with self._changed:
                    self.statistics["sent" if taken else "refused"] += self._landed()
                return
            self.statistics["retries"] += 1
            # Jitter keeps many senders from retrying at the same time.
            self._given_up.wait(max(retry_after_s, pause_s * random.uniform(0.75, 1.25)))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _post(self, name: str, body: bytes) -> tuple[int, float]:
        """The status of one attempt (0: no response), and how long the server asks to wait."""
        import httpx2  # only when needed: the import is slow

        headers = {"Content-Type": "application/json", "User-Agent": "streamer", BATCH: name}
        if self._secret:
            headers[SIGNATURE] = sign(self._secret, body, int(self._clock()))
        if self._client is None:
            # No proxy from the environment, and no redirects: events go to the configured address only. Certificates
            # are those of the system, or of SSL_CERT_FILE.
            tls = ssl.create_default_context()
            self._client = httpx2.Client(timeout=self._timeout_s, trust_env=False, verify=tls)
        try:
            # Only the head of the response is read.
            with self._client.stream("POST", self._url, content=body, headers=headers) as response:
                self.problem = "" if response.is_success else f"{response.status_code} {response.reason_phrase}"
                wanted = response.headers.get("Retry-After", "")
                seconds = float(wanted) if wanted.isascii() and wanted.isdigit() else 0.0
                return response.status_code, min(seconds, LONGEST_PAUSE_S)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            self.problem = str(error) or type(error).__name__
            return 0, 0.0


def _check(url: str) -> None:
    """Raises ConfigurationError for an address that events cannot be sent to."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # parsed on access
        (parts.hostname or "").encode("idna")
    except ValueError as error:
        raise ConfigurationError(f"webhook {url!r}: this is no address ({error}).") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"webhook {url!r}: an address begins with http:// or https:// and has a host.")
    if not all("!" <= letter <= "~" for letter in parts.path + parts.query):
        raise ConfigurationError(f"webhook {url!r}: write spaces and letters beyond ASCII as %xx: /b%C3%BCro.")

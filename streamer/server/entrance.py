"""The entrance to a server's WebSocket: the first message, access by token, and refusals."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed

from streamer import protocol
from streamer.protocol import Refusal
from streamer.server import log, twilio
from streamer.server.auth import EVERYBODY, Access, Tokens, presented
from streamer.server.config import ServerConfig
from streamer.server.gate import offered
from streamer.server.metrics import Metrics
from streamer.server.peer import Peer


class Entrance:
    """Reads first messages and decides on access.

    tokens: those of the token file; None without a token file, when everybody has full access.
    Raises ConfigurationError for an invalid token file.
    """

    def __init__(self, config: ServerConfig, metrics: Metrics) -> None:
        self._config = config
        self._metrics = metrics
        self.tokens = self.read_tokens()

    def read_tokens(self) -> Tokens | None:
        """The token file as it is now. Raises ConfigurationError."""
        return Tokens.load(Path(self._config.token_file)) if self._config.token_file else None

    def identify(self, token: str | None) -> Access | None:
        """The access of a token; without a token file, everybody has full access."""
        return EVERYBODY if self.tokens is None else self.tokens.find(token)

    def access(self, connection: Peer, named: str | None, *scopes: str) -> Access:
        """named: the token in the first message. scopes: the token needs one of them. Raises Refusal: unauthorized,
        forbidden."""
        assert connection.request is not None
        headers = connection.request.headers.get_all("Authorization")
        token = presented(headers[0] if headers else None, offered(connection.request)) or named
        access = self.identify(token)
        if access is None:
            change = "Send a token that is" if token else "Send one as a header, a subprotocol or in `start`"
            raise Refusal("unauthorized", "A known bearer token is needed.", f"{change}.", fatal=True)
        if access.scopes.isdisjoint(scopes):
            message = f"This token does not have the scope {' or '.join(scopes)}."
            raise Refusal("forbidden", message, "Use one that has it.", fatal=True)
        return access

    async def first(self, connection: Peer) -> dict[str, Any]:
        """The `start` or `watch` that a connection begins with. Raises Refusal, TimeoutError, ConnectionClosed."""
        async with asyncio.timeout(self._config.hello_timeout_s):
            return protocol.first(await connection.recv())

    async def receive(self, connection: Peer, serve: Callable[[Peer], Awaitable[None]]) -> None:
        """Serve a connection to its end, or tell the client why it is refused. Raises only for a bug in this
        package."""
        try:
            await serve(connection)
        except ConnectionClosed:
            return
        except TimeoutError:
            limit = self._config.hello_timeout_s
            message = f"No `start` came within {limit:g} s."
            await self._turn_away(connection, Refusal("timeout", message, "Send it at once.", fatal=True))
        except Refusal as refusal:
            await self._turn_away(connection, refusal)
        except Exception:
            log.say("connection failed", level=logging.ERROR, exc_info=True)
            mistake = Refusal("internal", "The server made a mistake.", "Try again.", fatal=True)
            await self._turn_away(connection, mistake)

    async def _turn_away(self, connection: Peer, refusal: Refusal) -> None:
        self._metrics.errors.labels(refusal.code).inc()
        code = {"busy": 1013, "internal": 1011}.get(refusal.code, 1008)
        with contextlib.suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(self._config.send_timeout_s):
                if path_of(connection) != twilio.PATH:  # Twilio understands only its own messages
                    await connection.send(protocol.write({**refusal.to_dict(), "fatal": True}))
                await connection.close(code, refusal.code)


def path_of(connection: Peer) -> str:
    """The path that a connection asked for, without its query."""
    assert connection.request is not None
    return connection.request.path.partition("?")[0]

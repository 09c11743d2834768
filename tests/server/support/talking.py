"""Clients by hand, for the tests of the server."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from streamer import protocol
from streamer.audio.chunks import SAMPLE_RATE as RATE
from streamer.server.app import Server

#: Longer than anything here takes, shorter than anybody's patience.
PATIENCE_S = 20.0


class Talk:
    """A client by hand: sends what it is told, and keeps every message, each valid by the schema."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.messages: list[dict[str, Any]] = []

    async def say(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def start(self, **settings: Any) -> dict[str, Any]:
        """Say `start` and return the answer."""
        await self.say(type="start", **settings)
        return await self.next()

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_S):
            text = await self.socket.recv(decode=True)
        message = protocol.read(text, "server")
        self.messages.append(message)
        return message

    async def until(self, type_: str) -> dict[str, Any]:
        """Read on to the next message of this type."""
        while (message := await self.next())["type"] != type_:
            pass
        return message

    @property
    def events(self) -> list[dict[str, Any]]:
        return [message for message in self.messages if "id" in message]


@contextlib.asynccontextmanager
async def talking(server: Server, path: str = "", **options: Any) -> AsyncIterator[Talk]:
    """Connect to the server."""
    url = f"{'wss' if 'ssl' in options else 'ws'}://127.0.0.1:{server.port}{protocol.PATH}{path}"
    options = {"subprotocols": [protocol.SUBPROTOCOL], "compression": None, "proxy": None, **options}
    async with connect(url, **options) as socket:
        yield Talk(socket)


def pcm(seconds: float, seed: int = 0) -> bytes:
    """s16le at 16 kHz: noise with the ups and downs of speech."""
    samples = int(seconds * RATE)
    noise = np.random.default_rng(seed).normal(0, 3000, samples)
    return (noise * np.abs(np.sin(np.arange(samples) / 3000))).astype("<i2").tobytes()


async def empty(server: Server) -> None:
    """Wait until the server has no session any more; it looks after them a few times a second."""
    async with asyncio.timeout(PATIENCE_S):
        while len(server.rooms):  # noqa: ASYNC110 - the server has no event for it, as it needs none
            await asyncio.sleep(0.02)

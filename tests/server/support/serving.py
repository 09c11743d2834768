"""A real server on a real engine with seeded weights: what it says of voices is noise, that it says it is not."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from streamer.engine.engine import Engine
from streamer.server.app import Server
from streamer.server.config import ServerConfig
from streamer.speakers.store import SpeakerStore

Serving = Callable[..., contextlib.AbstractAsyncContextManager[Server]]


@pytest.fixture
def serving(local_model, tmp_path):
    """A server with these settings over the defaults, on a free port: `async with serving(max_streams=2) as server`."""

    @contextlib.asynccontextmanager
    async def run(engine: Engine | None = None, **settings: Any) -> AsyncIterator[Server]:
        config = ServerConfig(**{"port": 0, "max_streams": 64, "max_streams_per_address": 64, **settings})
        with SpeakerStore(tmp_path / "speakers.db") as store:
            async with engine or Engine(local_model, device="cpu") as running, Server(config, running, store) as server:
                yield server

    return run


@pytest.fixture
async def server(serving):
    async with serving() as running:
        yield running

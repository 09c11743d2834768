"""The WebSocket client: `Client` for asyncio, `listen` without it."""

from streamer.client.blocking import listen
from streamer.client.client import Client
from streamer.client.exchange import Message

__all__ = ["Client", "Message", "listen"]

"""The plain HTTP side of the port: the page, recordings, people, rooms, health and metrics.

It is a Starlette application (`site`), served by uvicorn's HTTP beside the WebSockets: see `streamer.server.door`.
"""

from streamer.server.http.page import assets

__all__ = ["assets"]

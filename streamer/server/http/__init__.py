"""The plain HTTP side of the port: the page, recordings, people, rooms, health and metrics.

A Starlette application (`site`) that uvicorn's HTTP carries, beside the WebSockets: see `streamer.server.door`.
"""

from streamer.server.http.page import assets

__all__ = ["assets"]

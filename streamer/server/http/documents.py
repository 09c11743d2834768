"""Machine-readable descriptions of the server: the schema of its messages, OpenAPI for its requests, and AsyncAPI for
its WebSocket, which is generated from the schema."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from streamer import protocol
from streamer.protocol import Side

#: The action of each side in AsyncAPI's terms, from the view of the server.
ACTIONS: dict[Side, str] = {"client": "receive", "server": "send"}


@cache
def openapi() -> dict[str, Any]:
    """The OpenAPI 3.1 document of the plain HTTP side."""
    loaded: dict[str, Any] = json.loads(files("streamer.server").joinpath("openapi.json").read_text(encoding="utf-8"))
    return loaded


@cache
def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3.0 document of the WebSocket protocol. Binary frames are the message `audio`."""
    schema = protocol.schema()
    messages = {
        name: {
            "name": name,
            "title": body["title"],
            "summary": body["description"].split(". ")[0],
            "contentType": "application/json",
            "payload": {"$ref": f"#/components/schemas/{name}"},
        }
        for name, body in schema["$defs"].items()
        if "x-from" in body
    }
    messages["audio"] = {
        "name": "audio",
        "title": "audio",
        "summary": "A binary frame of audio as `start` said it would come",
        "contentType": "application/octet-stream",
        "payload": {"type": "string", "format": "binary"},
    }
    sent = {
        "client": sorted([*protocol.message_types("client"), "audio"]),
        "server": sorted(protocol.message_types("server")),
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": protocol.SUBPROTOCOL,
            "version": str(protocol.VERSION),
            "description": schema["description"],
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "stream": {
                "address": protocol.PATH,
                "description": f"One WebSocket, subprotocol {protocol.SUBPROTOCOL}: one session, or one viewer.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": {
            f"{side}Says": {
                "action": action,
                "channel": {"$ref": "#/channels/stream"},
                "messages": [{"$ref": f"#/channels/stream/messages/{name}"} for name in sent[side]],
            }
            for side, action in ACTIONS.items()
        },
        "components": {"messages": messages, "schemas": _moved(schema["$defs"])},
    }


def served() -> dict[str, dict[str, Any]]:
    """The documents, by path."""
    return {
        "/openapi.json": openapi(),
        "/asyncapi.json": asyncapi(),
        "/v1/protocol.schema.json": protocol.schema(),
    }


def _moved(value: Any) -> Any:
    """A schema whose definitions are AsyncAPI components."""
    if isinstance(value, dict):
        return {key: _moved(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_moved(item) for item in value]
    return value.replace("#/$defs/", "#/components/schemas/") if isinstance(value, str) else value

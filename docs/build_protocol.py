"""Write docs/protocol.md from its frame, protocol.in.md, and the schema that server and client validate by.

    python docs/build_protocol.py

`tests/server/test_protocol.py` fails if the page is older than its sources.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from streamer import protocol
from streamer.evaluation.markdown import table

HERE = Path(__file__).parent
SECTION = re.compile(r"<!-- (client|server|events|include) ?(\S*) -->")


def page() -> str:
    """The whole page."""
    frame = (HERE / "protocol.in.md").read_text(encoding="utf-8")
    return SECTION.sub(lambda match: _section(match[1], match[2]), frame)


def _section(kind: str, argument: str) -> str:
    if kind == "include":
        path = HERE.parent / argument
        return f"```{path.suffix[1:].replace('py', 'python')}\n{path.read_text(encoding='utf-8').rstrip()}\n```"
    definitions = protocol.schema()["$defs"]
    if kind == "events":
        names = [name for name in definitions if name in protocol.event_types()]
        skip = {"id", "channel", "sample", "time", "decided_sample", "reason"}
    else:
        side = protocol.message_types("client" if kind == "client" else "server")
        names = [name for name in definitions if name in side - protocol.event_types()]
        skip = set()
    return "\n\n".join(_message(name, definitions[name], skip) for name in names)


def _message(name: str, body: dict[str, Any], skip: set[str]) -> str:
    lines = [f"### `{name}`", "", body["description"], ""]
    required = set(body.get("required", ()))
    rows = [
        (f"`{key}`", _type(value), _need(key, value, required), _what(value))
        for key, value in body["properties"].items()
        if key != "type" and key not in skip
    ]
    if rows:
        lines += [*table(["field", "type", "", "what"], rows), ""]
    for example in body["examples"]:
        lines += ["```json", json.dumps(example, ensure_ascii=False), "```"]
    return "\n".join(lines)


def _type(value: dict[str, Any]) -> str:
    if "$ref" in value:
        return _type(_resolved(value))
    if "enum" in value:
        return ", ".join(f"`{item}`" for item in value["enum"])
    types = value["type"] if isinstance(value["type"], list) else [value["type"]]
    words = [f"array of {_type(value['items'])}" if item == "array" else item for item in types]
    low, high = value.get("minimum"), value.get("maximum")
    span = f" {low:,} to {high:,}" if low is not None and high is not None and high < 2**53 - 1 else ""
    return " or ".join(words) + span


def _need(key: str, value: dict[str, Any], required: set[str]) -> str:
    if "default" in value:
        return f"default `{json.dumps(value['default'])}`"
    return "" if key in required else "optional"


def _what(value: dict[str, Any]) -> str:
    text = value.get("description") or _resolved(value).get("description", "")
    if value.get("properties"):
        fields = "; ".join(f"`{key}`: {_what(inner)}" for key, inner in value["properties"].items())
        text = f"{text} {fields}"
    items = value.get("items", {})
    if items.get("properties"):
        text += " Each has " + "; ".join(f"`{key}`: {_what(inner)}" for key, inner in items["properties"].items())
    return str(text).replace("|", "\\|")


def _resolved(value: dict[str, Any]) -> dict[str, Any]:
    reference = value.get("$ref")
    if reference is None:
        return value
    found: dict[str, Any] = protocol.schema()["$defs"][reference.rsplit("/", 1)[1]]
    return found


if __name__ == "__main__":
    (HERE / "protocol.md").write_text(page(), encoding="utf-8")

"""Write the messages of the protocol as TypeScript types, from the schema that server and client validate by.

    python docs/build_types.py

`tests/client/test_javascript.py` fails where the types are older than the schema.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from streamer import protocol

TYPES = Path(__file__).parents[1] / "streamer" / "client" / "javascript" / "protocol.d.ts"
HEAD = "// The messages of the protocol streamer.v1, made by docs/build_types.py from its schema.\n"


def types() -> str:
    """The whole file."""
    definitions = protocol.schema()["$defs"]
    parts = [HEAD]
    for name, body in definitions.items():
        if "properties" in body:
            parts.append(
                f"/** {body.get('description', name)} */\nexport interface {_name(name)} {_object(body, '')}\n"
            )
        else:
            parts.append(f"/** {body['description']} */\nexport type {_name(name)} = {_type(body, '')};\n")
    for title, names in {
        "ClientMessage": protocol.message_types("client"),
        "ServerMessage": protocol.message_types("server"),
        "EventMessage": protocol.event_types(),
    }.items():
        parts.append(f"export type {title} =\n" + "\n".join(f"  | {_name(name)}" for name in sorted(names)) + ";\n")
    return "\n".join(parts)


def _name(name: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in name.split("_"))


def _object(body: dict[str, Any], indent: str) -> str:
    required = set(body.get("required", ()))
    lines = []
    for key, value in body["properties"].items():
        if value.get("description") and "const" not in value:
            lines.append(f"{indent}  /** {value['description']} */")
        lines.append(f"{indent}  {key}{'' if key in required else '?'}: {_type(value, indent + '  ')};")
    return "{\n" + "\n".join(lines) + f"\n{indent}}}"


def _type(value: dict[str, Any], indent: str) -> str:
    if "$ref" in value:
        return _name(value["$ref"].rpartition("/")[2])
    for several in ("oneOf", "anyOf"):
        if several in value:
            return " | ".join(_type(one, indent) for one in value[several])
    if "const" in value:
        return json.dumps(value["const"])
    if "enum" in value:
        return " | ".join(json.dumps(one) for one in value["enum"])
    kind = value.get("type")
    if isinstance(kind, list):
        return " | ".join(_type({**value, "type": one}, indent) for one in kind)
    if kind == "array":
        return f"Array<{_type(value['items'], indent)}>"
    if kind == "object":
        return _object(value, indent) if "properties" in value else "Record<string, unknown>"
    return {"integer": "number", "number": "number", "string": "string", "boolean": "boolean", "null": "null"}[
        str(kind)
    ]


if __name__ == "__main__":
    TYPES.write_text(types(), encoding="utf-8")

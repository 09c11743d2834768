"""What the server says of itself: OpenAPI, AsyncAPI and the schema of its messages, each as its standard has it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from asking import asking
from jsonschema import Draft7Validator, Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.routing import Route

from streamer import protocol
from streamer.server.http import assets, documents
from streamer.server.http.site import FrontMiddleware

#: The AsyncAPI initiative's own schema (Apache-2.0), as in the npm package @asyncapi/specs 6.11.1.
ASYNCAPI = Path(__file__).parent / "support" / "asyncapi-3.0.0.json.gz"


def test_the_openapi_document_is_one():
    OpenAPIV31SpecValidator(documents.openapi()).validate()


def test_the_asyncapi_document_is_one_and_has_every_message():
    schema = json.loads(gzip.decompress(ASYNCAPI.read_bytes()))
    document = documents.asyncapi()
    Draft7Validator(schema).validate(document)
    with pytest.raises(Exception, match="required property"):
        Draft7Validator(schema).validate(
            {**document, "channels": {"stream": {"messages": {"x": {"$ref": 1}}}}, "info": {}}
        )
    said = set(document["components"]["messages"]) - {"audio"}
    assert said == protocol.message_types("client") | protocol.message_types("server")
    # Payloads are found where they are said to be, and take the examples of the protocol.
    for name, body in protocol.schema()["$defs"].items():
        for example in body.get("examples", []):
            Draft202012Validator({**document, **document["components"]["schemas"][name]}).validate(example)


async def test_they_are_served_and_head_works(server):
    async with asking(server) as client:
        for path, document in documents.served().items():
            assert (await client.get(path)).json() == json.loads(json.dumps(document))
        for path in ("/", "/healthz", "/openapi.json", "/v1/speakers", "/metrics"):
            whole, head = await client.get(path), await client.head(path)
            assert (head.status_code, head.content) == (200, b""), path
            if path != "/metrics":
                assert head.headers["Content-Length"] == whole.headers["Content-Length"]
        for method, path in (("POST", "/"), ("DELETE", "/v1/speakers"), ("GET", "/v1/embed")):
            answer = await client.request(method, path)
            assert answer.status_code == 405
            assert answer.headers["Allow"]
        assert (await client.head("/v1/stream")).status_code == 426


async def test_every_route_is_in_the_document(server):
    front = server._plains._config.app
    assert isinstance(front, FrontMiddleware)
    found = {
        (route.path, method)
        for route in front._application.routes
        if isinstance(route, Route) and route.path not in (*assets(), protocol.PATH)
        for method in route.methods - {"HEAD"}
    }
    said = {
        (path, method.upper())
        for path, item in documents.openapi()["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert found == said

"""Requests over plain HTTP, for the tests of the server. Every answer is checked against what the server says of it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import numpy as np
import soundfile
from jsonschema import Draft202012Validator
from talking import PATIENCE_S, RATE, pcm

from streamer.server.app import Server
from streamer.server.http.documents import openapi


@contextlib.asynccontextmanager
async def asking(server: Server, token: str | None = None, **options: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the server, whose JSON answers are as /openapi.json has them."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(
        base_url=server.url,
        headers=headers,
        trust_env=False,
        timeout=PATIENCE_S,
        event_hooks={"response": [_check]},
        **options,
    ) as client:
        yield client


async def _check(response: httpx2.Response) -> None:
    kind = response.headers.get("content-type", "").partition(";")[0]
    if not kind.endswith("json") or response.request.method == "HEAD":
        return
    await response.aread()
    content = described(response.request.method, response.url.path, response.status_code)["content"][kind]
    Draft202012Validator({**openapi(), **content["schema"]}).validate(response.json())


def described(method: str, path: str, status: int) -> dict[str, Any]:
    """What the document has of an answer; a path that it doesn't know has the common problems."""
    parts = path.strip("/").split("/")
    for template, item in openapi()["paths"].items():
        names = template.strip("/").split("/")
        fits = len(names) == len(parts) and all(n.startswith("{") or n == p for n, p in zip(names, parts, strict=True))
        if fits and method.lower() in item:
            answer = item[method.lower()]["responses"][str(status)]
            return (
                openapi()["components"]["responses"][answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
            )
    return openapi()["components"]["responses"]["Problem400"]


def wav(seconds: float = 4.0, seed: int = 0) -> bytes:
    """A WAV file of noise with the ups and downs of speech."""
    return wave(np.frombuffer(pcm(seconds, seed), "<i2"))


def wave(samples: np.ndarray, kind: str = "WAV") -> bytes:
    """A file of these samples at 16 kHz."""
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format=kind)
    return file.getvalue()

"""Errors in HTTP: JSON by RFC 9457, with a `code` for programs and a `change` for people.

https://www.rfc-editor.org/rfc/rfc9457
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from streamer import protocol
from streamer.errors import (
    AudioEmpty,
    AudioError,
    AudioTooLong,
    AudioTooShort,
    MissingDependency,
    StreamerError,
)
from streamer.protocol import Refusal

MEDIA_TYPE = "application/problem+json"

#: The HTTP status for each code of the WebSocket's `error`.
STATUS = {
    "busy": 503,
    "conflict": 409,
    "forbidden": 403,
    "internal": 500,
    "invalid_message": 400,
    "unauthorized": 401,
    "unknown_session": 404,
    "unknown_speaker": 404,
}

CHANGE = "Send a recording of somebody who speaks: WAV, FLAC, MP3, Ogg, Opus and others."


class Problem(Exception):
    """An error response, raised. allow: the allowed methods. more: further fields."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        change: str,
        retry_after: float | None = None,
        *,
        allow: str = "",
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.change = status, code, message, change
        self.retry_after, self.allow, self.more = retry_after, allow, more

    @classmethod
    def of(cls, error: Refusal | StreamerError) -> Problem:
        """The problem for a refusal or an error of another part."""
        if isinstance(error, Refusal):
            status = STATUS.get(error.code, 400)
            return cls(status, error.code, error.message, error.change, error.retry_after)
        if isinstance(error, AudioTooShort | AudioEmpty):
            return cls(422, "too_short", str(error), "Send a longer one, with more speech in it.")
        if isinstance(error, AudioTooLong):
            return cls(413, "too_long", str(error), "Send it in parts, or over the WebSocket.")
        if isinstance(error, AudioError):
            return cls(415, "unsupported", str(error), CHANGE)
        if isinstance(error, MissingDependency):
            return cls(415, "unsupported", "This server can't read recordings of this kind.", CHANGE)
        return cls(500, "internal", "The server could not process this recording.", "Try again.")

    def response(self) -> Response:
        headers = {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(math.ceil(self.retry_after))
        if self.allow:
            headers["Allow"] = self.allow
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        body = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.message,
            "code": self.code,
            "change": self.change,
            **self.more,
        }
        return JSONResponse(body, self.status, headers, MEDIA_TYPE)


def problem_of(request: Request, error: Exception) -> Problem:
    """The problem for an exception of a route."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        allow = (error.headers or {}).get("Allow", "")
        if error.status_code == 405:
            return Problem(
                405, "method_not_allowed", f"{request.method} is not served here.", f"Use {allow}.", allow=allow
            )
        if error.status_code == 404:
            change = f"Streams go to {protocol.PATH}; for the rest see /openapi.json."
            return Problem(404, "not_found", "There is nothing here.", change)
        return Problem(error.status_code, "invalid_message", str(error.detail), "See /openapi.json.")
    assert isinstance(error, Refusal | StreamerError)
    return Problem.of(error)

"""Requests with a recording as their body: identify its speaker, return its embedding, or enrol its speaker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from streamer.audio.chunks import SAMPLE_RATE
from streamer.errors import ConfigurationError
from streamer.server.config import ServerConfig
from streamer.server.hearing import HeardRecording, Hearing
from streamer.server.http.access import Doorkeeper
from streamer.server.http.problems import Problem
from streamer.server.http.racing import while_connected
from streamer.speakers.names import clean_name
from streamer.speakers.timeline import Timeline

#: The most form fields beside the file.
FIELDS = 8
NO_STORE = {"Cache-Control": "no-store"}


class Recordings:
    """The routes that process a recording. changed: called after an enrolment."""

    def __init__(
        self, config: ServerConfig, doorkeeper: Doorkeeper, hearing: Hearing, changed: Callable[[], None]
    ) -> None:
        self._config = config
        self._doorkeeper = doorkeeper
        self._hearing = hearing
        self._changed = changed

    async def embed(self, request: Request) -> Response:
        self._doorkeeper.admit(request, "stream")

        async def work(data: bytes) -> dict[str, Any]:
            heard, vector = await self._hearing.embed(data)
            return {**self._about(heard), "embedding": [round(float(value), 6) for value in vector]}

        return await self._hear(request, work)

    async def identify(self, request: Request) -> Response:
        self._doorkeeper.admit(request, "stream")

        async def work(data: bytes) -> dict[str, Any]:
            heard, timeline, candidates = await self._hearing.identify(data)
            named = [
                {
                    "name": candidate.name,
                    "probability": round(candidate.probability, 4),
                    "similarity": round(candidate.similarity, 4),
                }
                for candidate in candidates
            ]
            return {**self._about(heard), **_turns(timeline), "candidates": named}

        return await self._hear(request, work)

    async def enroll(self, request: Request) -> Response:
        self._doorkeeper.admit(request, "enroll")
        name = usable(request.path_params["name"])
        force = request.query_params.get("force", "false")
        if set(request.query_params) - {"force"} or force not in ("true", "false"):
            raise Problem(400, "invalid_message", "Only force=true or false is taken here.", "Leave out the rest.")

        async def work(data: bytes) -> dict[str, Any]:
            heard, verdict, accepted = await self._hearing.enroll(name, data, force=force == "true")
            advice = [{"code": one.code, "message": f"{one.message}: {one.advice}."} for one in verdict.findings]
            if not accepted:
                said = advice[0]["message"] if advice else "no speech was heard."
                change = "Send a better recording, or use force=true to enrol it anyway."
                raise Problem(422, "enrolment_refused", f"{name} was not enrolled: {said}", change, advice=advice)
            self._changed()
            return {**self._about(heard), "name": name, "exemplars": len(verdict.exemplars), "advice": advice}

        return await self._hear(request, work)

    async def _hear(self, request: Request, work: Callable[[bytes], Coroutine[Any, Any, dict[str, Any]]]) -> Response:
        with self._hearing.taking(request.state.door.address):
            data = await self._recording(request)
            found = await while_connected(request.receive, work(data))
        if found is None:
            raise ClientDisconnect
        return JSONResponse(found, headers=NO_STORE)

    async def _recording(self, request: Request) -> bytes:
        """The bytes of the recording: the body, or the first file of a form. Raises Problem, ClientDisconnect."""
        limit = self._config.max_upload_bytes
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            data = await _file_of_form(request, _bounded(request, limit + (64 << 10), limit), limit)
        else:
            data = b"".join([received async for received in _bounded(request, limit, limit)])
        if not data:
            raise Problem(400, "invalid_message", "No recording came.", "Send it as the body, or as a form's file.")
        return data

    def _about(self, heard: HeardRecording) -> dict[str, Any]:
        return {
            "model": self._hearing.model,
            "duration": round(heard.duration_s, 3),
            "speech": round(heard.pool.speech_s, 2),
        }


async def _bounded(request: Request, limit: int, said: int) -> AsyncIterator[bytes]:
    """The body, in chunks as they arrive. Raises Problem above the limit, which the message gives as `said`."""
    length = request.headers.get("content-length", "")
    size = int(length) if length.isdecimal() else 0
    if size <= limit:
        size = 0
        async for received in request.stream():
            size += len(received)
            if size > limit:
                break
            yield received
    if size > limit:
        raise Problem(413, "too_large", f"A recording may have {said} bytes.", "Send it compressed, or in parts.")


async def _file_of_form(request: Request, body: AsyncIterator[bytes], limit: int) -> bytes:
    class InMemory(MultiPartParser):
        # Audio must never be written to a disk.
        spool_max_size = limit + 1

    try:
        form = await InMemory(request.headers, body, max_files=1, max_fields=FIELDS).parse()  # type: ignore[arg-type]
    except (MultiPartException, FormParserError) as error:
        raise Problem(400, "invalid_message", f"This is not a valid form: {error}.", "Send one file in it.") from None
    try:
        file = next((value for value in form.values() if isinstance(value, UploadFile)), None)
        return b"" if file is None else await file.read()
    finally:
        await form.close()


def _turns(timeline: Timeline) -> dict[str, Any]:
    turns = [
        {
            "speaker": span.speaker,
            "start_sample": span.start_sample,
            "end_sample": span.end_sample,
            "start": span.start_sample / SAMPLE_RATE,
            "end": (span.end_sample or 0) / SAMPLE_RATE,
            "confidence": round(span.confidence, 4),
        }
        for span in timeline.spans
    ]
    talked = timeline.talk_time().items()
    return {"speakers": [{"name": name, "seconds": round(seconds, 3)} for name, seconds in talked], "turns": turns}


def usable(name: str) -> str:
    """The canonical form of a name. Raises Problem for an invalid name."""
    try:
        return clean_name(name)
    except ConfigurationError as error:
        raise Problem(400, "invalid_message", str(error), "Choose another name.") from None

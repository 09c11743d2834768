"""People as resources: list them, read one, and change them."""

from __future__ import annotations

import json
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from streamer.server.http.access import Doorkeeper
from streamer.server.http.problems import Problem
from streamer.server.http.recordings import NO_STORE, usable
from streamer.server.people import PAGE, People

#: The most bytes of a request to rename a person.
RENAME_BYTES = 4096


class PeopleRoutes:
    """changed: called after a change of the people, to update the roster of every running stream."""

    def __init__(self, doorkeeper: Doorkeeper, people: People, changed: Callable[[], None]) -> None:
        self._doorkeeper = doorkeeper
        self._people = people
        self._changed = changed

    async def page(self, request: Request) -> Response:
        """The enrolled people, as in `speaker_list`, and the scopes of the client."""
        access = self._doorkeeper.admit(request, "stream")
        asked = dict(request.query_params)
        limit, after = asked.pop("limit", str(PAGE)), asked.pop("after", None)
        if asked or not (limit.isascii() and limit.isdecimal()) or not 1 <= len(limit) <= 4 or int(limit) < 1:
            message = f"Only after=NAME and limit=1 to {PAGE} are taken here."
            raise Problem(400, "invalid_message", message, "Leave out the rest.")
        page = self._people.page(after, int(limit)) | {"scopes": sorted(access.scopes)}
        return JSONResponse(page, headers=NO_STORE)

    async def one(self, request: Request) -> Response:
        self._doorkeeper.admit(request, "stream")
        name = usable(request.path_params["name"])
        profile = await self._people.profile(name)
        if profile is None:
            raise Problem(404, "unknown_speaker", f"Nobody called {name!r} is enrolled.", "Ask for the list.")
        speech = round(profile.speech_s, 2)
        found = {"name": profile.name, "exemplars": len(profile.exemplars), "speech": speech}
        return JSONResponse(found, headers=NO_STORE)

    async def rename(self, request: Request) -> Response:
        self._doorkeeper.admit(request, "admin")
        body = b""
        async for received in request.stream():
            body += received
            if len(body) > RENAME_BYTES:
                raise Problem(413, "too_large", f"At most {RENAME_BYTES} bytes are taken here.", "Send less.")
        try:
            asked = json.loads(body)
        except ValueError:
            asked = None
        if not isinstance(asked, dict) or set(asked) != {"name"} or not isinstance(asked["name"], str):
            raise Problem(400, "invalid_message", "The body is not a JSON object with a name.", 'Send {"name": ...}.')
        to = usable(asked["name"])
        erased = await self._people.rename(usable(request.path_params["name"]), to)
        self._changed()
        return JSONResponse({"name": to, "erased": erased}, headers=NO_STORE)

    async def remove(self, request: Request) -> Response:
        self._doorkeeper.admit(request, "admin")
        name = usable(request.path_params["name"])
        erased = await self._people.remove(name)
        self._changed()
        return JSONResponse({"name": name, "erased": erased}, headers=NO_STORE)

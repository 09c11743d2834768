"""The enrolled speakers as the server's streams see them: read once, kept in step with the store, changed off the loop.

The store is a database that other processes change too; its counter is asked twice a second, and every stream is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from streamer.errors import ConfigurationError, SpeakerExists, SpeakerNotFound, StoreError
from streamer.server.protocol import Refusal
from streamer.speakers.profiles import Exemplar, Profile, Roster
from streamer.speakers.store import SpeakerStore

T = TypeVar("T")


class People:
    """The profiles of one model.

    Methods that touch the store run in a thread and raise Refusal where it can't do what was asked.
    """

    def __init__(self, store: SpeakerStore, fingerprint: str, dimension: int) -> None:
        self._store = store
        self._fingerprint = fingerprint
        self.dimension = dimension
        self._profiles: list[Profile] = store.profiles(fingerprint)
        self._changes = store.changes()
        self._everybody = Roster.of(self._profiles, dimension)

    @property
    def profiles(self) -> Sequence[Profile]:
        return self._profiles

    def invited(self, names: Sequence[str] | None) -> Roster:
        """Whom a new stream listens for. Raises Refusal("unknown_speaker") for a name that nobody has."""
        if names is None:
            return self._everybody
        try:
            return self._everybody.restricted(names)
        except ConfigurationError as error:
            raise Refusal("unknown_speaker", str(error), "Enrol them, or leave them out.", fatal=True) from None

    def roster(self, names: Sequence[str] | None) -> Roster:
        """Whom a running stream listens for: those of `names` who are enrolled by now."""
        if names is None:
            return self._everybody
        return self._everybody.restricted(set(names) & set(self._everybody.names))

    def listed(self) -> list[dict[str, Any]]:
        """Everybody, for `speaker_list`."""
        return [
            {"name": profile.name, "exemplars": len(profile.exemplars), "speech": round(profile.speech_s, 2)}
            for profile in sorted(self._profiles, key=lambda profile: profile.name)
        ]

    async def refresh(self) -> bool:
        """Read the store again if it has changed; whether it had."""
        changes = await self._ask(self._store.changes)
        if changes == self._changes:
            return False
        self._profiles = await self._ask(lambda: self._store.profiles(self._fingerprint))
        self._everybody = Roster.of(self._profiles, self.dimension)
        self._changes = changes
        return True

    async def add(self, name: str, exemplars: Sequence[Exemplar]) -> None:
        await self._ask(lambda: self._store.add(name, self._fingerprint, exemplars))
        await self.refresh()

    async def rename(self, name: str, to: str) -> None:
        await self._ask(lambda: self._store.rename(name, to))
        await self.refresh()

    async def remove(self, name: str) -> None:
        await self._ask(lambda: self._store.remove(name))
        await self.refresh()

    async def _ask(self, question: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(question)
        except SpeakerNotFound as error:
            raise Refusal("unknown_speaker", str(error), "Ask for the list.") from None
        except SpeakerExists as error:
            raise Refusal("conflict", str(error), "Choose another name.") from None
        except ConfigurationError as error:
            raise Refusal("invalid_message", str(error), "Choose another name.") from None
        except StoreError as error:
            raise Refusal("internal", str(error), "The server's operator must look at the speaker store.") from None

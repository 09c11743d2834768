"""The guests in the speaker store: voices that nobody enrolled, kept for a day so that they can be named."""

from __future__ import annotations

import time

from sqlalchemy import delete as sql_delete
from sqlalchemy import insert, select

from streamer.speakers.opened import GUEST_DAYS, Opened
from streamer.speakers.profiles import Exemplar
from streamer.speakers.rows import row_of
from streamer.speakers.tables import guests


class GuestBook(Opened):
    """The part of `SpeakerStore` that handles guests."""

    def remember_guest(self, stream: str, label: str, fingerprint: str, heard: Exemplar) -> None:
        """Keep a guest's voice for a day, so that `name_guest` can enrol it. Replaces the earlier record of this
        guest."""
        now = time.time()
        with self._write(quiet=True) as (connection, _):
            mine = (guests.c.stream == stream) & (guests.c.label == label)
            connection.execute(sql_delete(guests).where(mine))
            self._forget_old(connection)
            values = {**row_of(heard), "created": now}
            connection.execute(insert(guests).values(stream=stream, label=label, fingerprint=fingerprint, **values))

    def guests(self) -> list[tuple[str, str, float, float]]:
        """The guests that can still be named: (stream, label, seconds of speech, Unix time), the latest first."""
        query = select(guests.c.stream, guests.c.label, guests.c.speech_s, guests.c.created)
        query = query.where(guests.c.created >= time.time() - GUEST_DAYS * 86400).order_by(guests.c.created.desc())
        with self._read() as connection:
            return [(row.stream, row.label, row.speech_s, row.created) for row in connection.execute(query)]

    def forget_guests(self, stream: str | None = None, label: str | None = None) -> None:
        """Delete the guests of a stream, one guest, or all. Raises StoreNotErased as `remove` does."""
        chosen = sql_delete(guests)
        for column, value in ((guests.c.stream, stream), (guests.c.label, label)):
            chosen = chosen if value is None else chosen.where(column == value)
        with self._write(quiet=True, erases=True) as (connection, _):
            connection.execute(chosen)
        self._erase("the guests are forgotten, but their voice prints")

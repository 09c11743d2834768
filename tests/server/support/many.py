"""Very many people, written at once: each by itself would be a transaction of its own."""

from __future__ import annotations

import numpy as np

from streamer.speakers.store import SpeakerStore
from streamer.speakers.tables import exemplars, speakers


def enrol_many(store: SpeakerStore, count: int, fingerprint: str, dimension: int) -> None:
    """Enrol "Person 00000" and on, each with one random exemplar, in an empty store."""
    voices = np.random.default_rng(0).standard_normal((count, dimension)).astype("<f4")
    about = {"fingerprint": fingerprint, "speech_s": 12.0, "quality": 20.0, "created": 1.0, "source": ""}
    names = [f"Person {number:05}" for number in range(count)]
    with store._write() as (connection, revision):
        of_speakers = [
            {"id": number + 1, "name": name, "folded": name.casefold(), "created": 1.0, "revision": revision}
            for number, name in enumerate(names)
        ]
        connection.execute(speakers.insert(), of_speakers)
        of_exemplars = [{"speaker": n + 1, "embedding": voice.tobytes(), **about} for n, voice in enumerate(voices)]
        connection.execute(exemplars.insert(), of_exemplars)

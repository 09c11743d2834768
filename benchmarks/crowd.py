"""A store with very many people, for the benchmarks and tests of the server: written at once, in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from streamer.speakers.names import name_key
from streamer.speakers.store import SpeakerStore
from streamer.speakers.tables import exemplars, speakers

#: People written in one statement.
CHUNK = 5_000


def enrolled(path: Path, people: int, fingerprint: str, dimension: int, *, seed: int = 0) -> SpeakerStore:
    """An open store of so many people, "Person 000000" and on, each with one random exemplar."""
    rng = np.random.default_rng(seed)
    store = SpeakerStore(path)
    with store._write() as (connection, revision):
        for first in range(0, people, CHUNK):
            numbers = range(first, min(first + CHUNK, people))
            names = [f"Person {number:06}" for number in numbers]
            of_speakers = [
                {"id": number + 1, "name": name, "folded": name_key(name), "created": 1.0, "revision": revision}
                for number, name in zip(numbers, names, strict=True)
            ]
            connection.execute(speakers.insert(), of_speakers)
            voices = rng.standard_normal((len(numbers), dimension)).astype("<f4")
            about = {"fingerprint": fingerprint, "speech_s": 12.0, "quality": 20.0, "created": 1.0, "source": "random"}
            of_exemplars = [
                {"speaker": number + 1, "embedding": voice.tobytes(), **about}
                for number, voice in zip(numbers, voices, strict=True)
            ]
            connection.execute(exemplars.insert(), of_exemplars)
    return store

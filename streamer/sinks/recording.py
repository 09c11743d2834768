"""A source that is also listened in on: to record it, or to see its level."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable

import numpy as np
import soundfile

from streamer.audio.chunks import SAMPLE_RATE, AudioEvent, Gap, Source


class Tapped:
    """A source whose every event `hear` is told of, before it goes on its way."""

    def __init__(self, source: Source, hear: Callable[[AudioEvent], None]) -> None:
        self._source, self._hear = source, hear

    async def __aenter__(self) -> Tapped:
        await self._source.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._source.__aexit__(*exception)

    async def __aiter__(self) -> AsyncIterator[AudioEvent]:
        async for event in self._source:
            self._hear(event)
            yield event


class Recorder:
    """Keeps a stream as a file (16 kHz mono, 16 bit; WAV or FLAC by its name), with silence where it has gaps."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = soundfile.SoundFile(path, "w", SAMPLE_RATE, 1, "PCM_16")

    def hear(self, event: AudioEvent) -> None:
        if isinstance(event, Gap):
            missing = event.end_sample - event.start_sample
            while missing:
                block = min(missing, SAMPLE_RATE)
                self._file.write(np.zeros(block, np.float32))
                missing -= block
        else:
            self._file.write(event.samples)

    def close(self) -> None:
        self._file.close()

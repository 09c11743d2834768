"""A source whose events are also passed to a listener: to record it, or to show its level."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Callable

import numpy as np
import soundfile

from streamer.audio.chunks import SAMPLE_RATE, AudioEvent, Gap, Samples, Source
from streamer.output import check_writable


class Tapped:
    """A source that passes every event to `hear` before it yields it."""

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
    """Saves a stream as a file (16 kHz mono, 16 bit; WAV or FLAC by its name), with silence in place of gaps.

    The file is written from the first event on, and keeps its previous content until then. Raises OSError, with the
    path, if it cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        check_writable(path)
        self._file: soundfile.SoundFile | None = None

    def hear(self, event: AudioEvent) -> None:
        if isinstance(event, Gap):
            missing = event.end_sample - event.start_sample
            while missing:
                block = min(missing, SAMPLE_RATE)
                self._write(np.zeros(block, np.float32))
                missing -= block
        else:
            self._write(event.samples)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _write(self, samples: Samples) -> None:
        try:
            if self._file is None:
                self._file = soundfile.SoundFile(self.path, "w", SAMPLE_RATE, 1, "PCM_16")
            self._file.write(samples)
        except (soundfile.LibsndfileError, AssertionError) as error:  # soundfile asserts that everything was written
            problem = str(error) or "not all of it could be written: there may be no space left"
            raise OSError(errno.EIO, problem, self.path) from error

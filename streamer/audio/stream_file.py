"""A file as the samples of `read_audio(file).mono_16k()`, block by block, never as a whole."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from types import TracebackType

import numpy as np

from streamer.audio.chunks import Gap, InputGap, Samples
from streamer.audio.condition import Conditioner
from streamer.audio.decode import PathOrFile, open_decoder
from streamer.errors import AudioEmpty

READ_FRAMES = 1 << 16

logger = logging.getLogger("streamer.audio")


class MonoFile:
    """Iterating gives samples (n,), float32 mono at 16 kHz; samples missing by the file's time stamps are zeros.

    file: a path or a binary file object. Raises the errors of `read_audio`.
    """

    def __init__(self, file: PathOrFile) -> None:
        self._decoder = open_decoder(file)
        self.name = self._decoder.name
        self._frames = 0

    def __enter__(self) -> MonoFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._decoder.close()

    @property
    def duration(self) -> float:
        """Seconds that were read."""
        return self._frames / self._decoder.sample_rate

    def __iter__(self) -> Iterator[Samples]:
        decoder = self._decoder
        conditioner = Conditioner(decoder.sample_rate, channels=decoder.channels, name=decoder.name, patient=True)
        while True:
            block = decoder.read(READ_FRAMES)
            if isinstance(block, InputGap):
                self._frames += block.num_samples
                events = conditioner.gap(block.num_samples, block.reason)
            else:
                self._frames += block.shape[1]
                events = conditioner.push(block) if block.shape[1] else conditioner.finish()
            if (notice := conditioner.notice()) is not None:
                logger.warning("%r: %s.", self.name, notice)
            for event in events:
                if isinstance(event, Gap):
                    yield np.zeros(event.end_sample - event.start_sample, np.float32)
                else:
                    yield event.samples
            if not isinstance(block, InputGap) and block.shape[1] == 0:
                break
        if self._frames == 0:
            raise AudioEmpty(f"{self.name!r} has no samples (0.00 s of audio).")

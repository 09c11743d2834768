"""The events from a source to the engine: chunks of samples, and gaps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000

Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive samples (n,), float32 mono at 16 kHz, the first of them at `start_sample`."""

    start_sample: int
    samples: Samples

    @property
    def end_sample(self) -> int:
        return self.start_sample + len(self.samples)


@dataclass(frozen=True, slots=True)
class Gap:
    """Samples that were lost or never sent, [start_sample, end_sample). The clock advances over them.

    reason: why, in a word or two: "overflow", "packet loss", "device lost", "reconnect", ...
    """

    start_sample: int
    end_sample: int
    reason: str


AudioEvent = Chunk | Gap


@dataclass(frozen=True, slots=True)
class InputGap:
    """A gap as an input counts it: `num_samples` samples of each channel, at its rate, were lost or never sent."""

    num_samples: int
    reason: str


class Source(Protocol):
    """Live or recorded audio, as an async context manager that is iterated over.

    The events are contiguous: each starts where the previous one ended, the first at sample 0.
    """

    async def __aenter__(self) -> Source: ...

    async def __aexit__(self, *exception: object) -> None: ...

    def __aiter__(self) -> AsyncIterator[AudioEvent]: ...

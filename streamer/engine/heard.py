"""The new audio of many streams, as one batch for the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamer.audio.chunks import Samples
from streamer.engine.settings import WindowSettings
from streamer.engine.slots.sound import gathered
from streamer.engine.slots.transfer import staged
from streamer.errors import AudioNotFinite, ConfigurationError, StreamerError

#: The value for a stream that does not skip.
NOWHERE = -1


class Steppable(Protocol):
    """The part of a stream that a batch needs."""

    state: Any
    settings: WindowSettings


@dataclass(frozen=True, slots=True)
class Block:
    """The next samples of one stream, at most up to the end of its step.

    ends: the step ends here although it is incomplete, because the audio ends.
    skip_to: the later sample at which the stream continues after these samples.
    """

    stream: Steppable
    samples: Samples
    ends: bool = False
    skip_to: int | None = None


@dataclass(frozen=True, slots=True)
class HeardBatch:
    """The next samples of many streams, in the order of their blocks.

    states, samples: one per stream. flat (all samples,): the samples of all streams, concatenated, in host memory.
    lengths, energy (streams,): the number of samples, and the sum of their squares. ends (streams,): whether the step
    ends here. skips (streams,): where the stream continues afterwards, or NOWHERE.
    """

    states: list[Any]
    samples: list[Samples]
    flat: Tensor
    lengths: NDArray[np.int64]
    energy: NDArray[np.float64]
    ends: NDArray[np.bool_]
    skips: NDArray[np.int64]

    @classmethod
    def of(cls, blocks: Sequence[Block], device: torch.device) -> HeardBatch:
        samples = [block.samples for block in blocks]
        lengths = np.array([len(some) for some in samples], np.int64)
        flat = staged((int(lengths.sum()),), device)
        energy = gathered(samples, lengths, flat.numpy())
        ends = np.array([block.ends for block in blocks], bool)
        skips = np.array([NOWHERE if block.skip_to is None else block.skip_to for block in blocks], np.int64)
        return cls([block.stream.state for block in blocks], samples, flat, lengths, energy, ends, skips)

    def refused(self, positions: NDArray[np.int64], steps: NDArray[np.int64]) -> Mapping[int, StreamerError]:
        """The blocks that are invalid, and why. positions, steps (streams,): the position and step length of each
        stream."""
        too_long = self.lengths > steps - positions % steps
        back = (self.skips != NOWHERE) & (self.skips < positions + self.lengths)
        found: dict[int, StreamerError] = {}
        # The sum of finite samples may overflow, so look at these again.
        for place in np.flatnonzero(too_long | back | ~np.isfinite(self.energy)).tolist():
            position, length = int(positions[place]), int(self.lengths[place])
            if too_long[place]:
                found[place] = ConfigurationError(
                    f"a block of {length} samples at {position} goes beyond its step of {steps[place]}; "
                    "cut() makes blocks that do not."
                )
            elif back[place]:
                found[place] = skipping_back(position + length, int(self.skips[place]))
            elif (error := not_finite(self.samples[place], position)) is not None:
                found[place] = error
        return found


def skipping_back(position: int, to_sample: int) -> ConfigurationError:
    return ConfigurationError(f"cannot skip back from sample {position} to {to_sample}.")


def not_finite(samples: Samples, start_sample: int) -> AudioNotFinite | None:
    """The error for samples from `start_sample` on, if any is not finite."""
    finite = np.isfinite(samples)
    if finite.all():
        return None
    first = start_sample + int(np.flatnonzero(~finite)[0])
    return AudioNotFinite(f"sample {first} of the stream is NaN or infinite; mark it as a gap.")

"""Mix several channels into one: their mean, unless they cancel each other, for example if one is inverted.

Cancellation is measured over input blocks of a fixed length, counted from the start of the audio, so the result does
not depend on how the samples were cut on arrival. Only the first moments of sound have to wait for the measurement.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Planar = NDArray[np.float32]
Mono = NDArray[np.float32]

#: Blocks a second.
BLOCKS_PER_S = 10
#: The last `WINDOW` blocks with sound decide; at the beginning, the mix waits for `FIRST` or `FIRST_LIVE` of them.
WINDOW, FIRST, FIRST_LIVE = 10, 3, 2
#: Mean power (full scale 1) from which a block counts as sound: 80 dB below full scale.
SOUND = 1e-8
#: Limits of the correlation of two channels. For more channels, it is the power of their mean relative to that of
#: uncorrelated channels, minus one. Below the first limit they cancel; above the second they no longer do.
CANCELS, NO_MORE = -0.9, -0.5
#: Channels with this share of the loudest channel's power count as equally loud.
ALIKE = 0.9


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Channels that cancel each other, detected after `frame` frames: only `channel` (counted from 0) is used."""

    frame: int
    channel: int
    correlation: float

    def message(self, channels: int) -> str:
        return (
            f"the {channels} channels cancel each other (correlation {self.correlation:.2f}; one is probably "
            f"inverted): channel {self.channel} is used alone"
        )


class Downmix:
    """Takes channels (channels, n), returns their mix (m,), and stores a detected cancellation in `found`.

    rate: frames a second. patient: whether the first moments of sound wait until cancellation is decided (0.3 s), for
    recordings. A live input does not wait, and its mix is right from a fifth of a second after its first sound.
    """

    def __init__(self, rate: int, channels: int, *, patient: bool = True) -> None:
        self.channels = channels
        self.found: Cancelled | None = None
        self._size = max(1, rate // BLOCKS_PER_S)
        self._chosen: int | None = None
        self._decided = not patient
        self._first = FIRST if patient else FIRST_LIVE
        self._window: deque[NDArray[np.float64]] = deque(maxlen=WINDOW)
        #: The samples of the incomplete block, and those that are held back.
        self._block: list[Planar] = []
        self._filled = 0
        self._held: list[Planar] = []
        self._frames = 0

    def push(self, block: Planar) -> Mono:
        """The part of the mix that is decided."""
        mixed = []
        while block.shape[1]:
            part, block = np.split(block, [self._size - self._filled], axis=1)
            self._block.append(part)
            self._filled += part.shape[1]
            self._frames += part.shape[1]
            if self._decided:
                mixed.append(self._mix(part))
            else:
                self._held.append(part)
            if self._filled == self._size:
                self._judge(np.concatenate(self._block, axis=1))
                self._block, self._filled = [], 0
                if self._decided or not self._window:
                    mixed.append(self._released())
        return _joined(mixed)

    def flush(self) -> Mono:
        """The mix of the rest, at the end of the audio or at a gap."""
        if self._block and not self._decided:
            self._judge(np.concatenate(self._block, axis=1))
        if not self._decided and self._window:
            self._decide()
        self._block, self._filled = [], 0
        return self._released()

    def _released(self) -> Mono:
        held, self._held = self._held, []
        return _joined([self._mix(part) for part in held])

    def _mix(self, part: Planar) -> Mono:
        if self._chosen is not None:
            chosen: Mono = part[self._chosen].copy()
            return chosen
        with np.errstate(over="ignore"):  # the caller checks that it is finite
            mean: Mono = part.mean(axis=0, dtype=np.float32)
        return mean

    def _judge(self, block: Planar) -> None:
        """Measure a whole block; with the blocks before it, decide whether the channels cancel."""
        wide = block.astype(np.float64)
        gram = wide @ wide.T / wide.shape[1]
        if not np.trace(gram) / self.channels >= SOUND:
            return
        self._window.append(gram)
        if len(self._window) >= self._first:
            self._decide()

    def _decide(self) -> None:
        self._decided = True
        gram = np.sum(self._window, axis=0)
        correlation = _correlation(gram)
        if self._chosen is None and correlation < CANCELS:
            # Of equally loud channels, rounding aside, the first.
            powers = np.diag(gram)
            self._chosen = int(np.argmax(powers >= ALIKE * powers.max()))
            if self.found is None:
                self.found = Cancelled(self._frames, self._chosen, correlation)
        elif self._chosen is not None and correlation > NO_MORE:
            self._chosen = None


def downmix(waveform: Planar, rate: int) -> tuple[Mono, Cancelled | None]:
    """Mix a recording (channels, n) into one channel (n,); also returns a detected cancellation."""
    if len(waveform) == 1:
        return waveform[0].copy(), None
    mix = Downmix(rate, len(waveform))
    mono = _joined([mix.push(waveform), mix.flush()])
    return mono, mix.found


def _correlation(gram: NDArray[np.float64]) -> float:
    """For two channels, their correlation; for more, n * (power of the mean) / (mean power) - 1, which is -1 if they
    cancel, 0 if they are uncorrelated, and n - 1 if they are equal."""
    powers = np.diag(gram)
    if len(gram) == 2:
        return float(gram[0, 1] / max(np.sqrt(powers[0] * powers[1]), 1e-30))
    return float(gram.sum() / max(powers.sum(), 1e-30) - 1)


def _joined(parts: list[Mono]) -> Mono:
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)

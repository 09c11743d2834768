"""Several channels to one: their mean, unless they cancel each other, as where one is wired the other way round.

How far they cancel is measured over blocks of the input of a fixed length, counted from where the audio began, so that
it does not matter how the samples were cut on arrival. Nothing waits for it but the first moments of sound.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Planar = NDArray[np.float32]
Mono = NDArray[np.float32]

#: So many blocks a second.
BLOCKS_PER_S = 10
#: The last so many blocks with sound in them decide; so many are waited for at the beginning.
WINDOW, FIRST, FIRST_LIVE = 10, 3, 2
#: Mean power (full scale 1) from which a block has sound in it: 80 dB below full scale.
SOUND = 1e-8
#: The correlation of two channels, or for more of them the power of their mean against what it would be if they had
#: nothing in common, less one: below the first they cancel, above the second they do so no more.
CANCELS, NO_MORE = -0.9, -0.5
#: Channels with this share of the loudest one's power are as loud.
ALIKE = 0.9


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Channels that cancel each other, found after `frame` frames: only `channel` (from 0 on) is used."""

    frame: int
    channel: int
    correlation: float

    def message(self, channels: int) -> str:
        return (
            f"the {channels} channels cancel each other (correlation {self.correlation:.2f}; one is probably "
            f"inverted): channel {self.channel} is used alone"
        )


class Downmix:
    """Channels (channels, n) in, their mix (m,) out, and what was found of them in `found`.

    rate: frames a second. patient: whether the first moments of sound wait until it is known whether they cancel (0.3
    s): for recordings. A live input does not wait, and is heard as it should be a fifth of a second after its first
    sound.
    """

    def __init__(self, rate: int, channels: int, *, patient: bool = True) -> None:
        self.channels = channels
        self.found: Cancelled | None = None
        self._size = max(1, rate // BLOCKS_PER_S)
        self._chosen: int | None = None
        self._decided = not patient
        self._first = FIRST if patient else FIRST_LIVE
        self._window: deque[NDArray[np.float64]] = deque(maxlen=WINDOW)
        #: Of the block that is not complete yet, and what is not to be handed out yet.
        self._block: list[Planar] = []
        self._filled = 0
        self._held: list[Planar] = []
        self._frames = 0

    def push(self, block: Planar) -> Mono:
        """The mix of what can be mixed by now."""
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
        """The mix of what is left: the audio ends here, or has a gap."""
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
        with np.errstate(over="ignore"):  # the caller looks whether it is finite
            mean: Mono = part.mean(axis=0, dtype=np.float32)
        return mean

    def _judge(self, block: Planar) -> None:
        """Weigh a whole block, and with the blocks before it whether the channels cancel."""
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
            # Of channels that are as loud, give or take rounding, the first.
            powers = np.diag(gram)
            self._chosen = int(np.argmax(powers >= ALIKE * powers.max()))
            if self.found is None:
                self.found = Cancelled(self._frames, self._chosen, correlation)
        elif self._chosen is not None and correlation > NO_MORE:
            self._chosen = None


def downmix(waveform: Planar, rate: int) -> tuple[Mono, Cancelled | None]:
    """All of a recording (channels, n) as one channel (n,), and what was found of its channels."""
    if len(waveform) == 1:
        return waveform[0].copy(), None
    mix = Downmix(rate, len(waveform))
    mono = _joined([mix.push(waveform), mix.flush()])
    return mono, mix.found


def _correlation(gram: NDArray[np.float64]) -> float:
    """Of two channels, their correlation; of more, n * (power of the mean) / (mean power) - 1, which is -1 where they
    cancel, 0 where they have nothing in common, and n - 1 where they are one."""
    powers = np.diag(gram)
    if len(gram) == 2:
        return float(gram[0, 1] / max(np.sqrt(powers[0] * powers[1]), 1e-30))
    return float(gram.sum() / max(powers.sum(), 1e-30) - 1)


def _joined(parts: list[Mono]) -> Mono:
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)

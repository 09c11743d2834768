"""The arithmetic of frames: the samples that a frame sees, the frames in a run of samples, and the sound of a frame.

All positions are integers, in samples from the stream's start. Receptive field arithmetic after
Araujo, Norris & Sim (2019), https://distill.pub/2019/computing-receptive-fields/
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class FrameGrid:
    """Frame i sees the samples [i * stride, i * stride + receptive_field), and stands for the sound in their middle.

    look_ahead: how many samples it sees behind the middle of the sound that it stands for. None: as many as before it,
        as unpadded layers make it. A network that remembers what was before (taps of the past alone, running means)
        says it: its receptive field is then what a frame waits for, and the middle lies near its end.

    >>> grid = FrameGrid().conv(251, 10).conv(3, 3)
    >>> grid.stride, grid.receptive_field, grid.num_frames(48_000)
    (30, 271, 1591)
    """

    stride: int = 1
    receptive_field: int = 1
    look_ahead: int | None = None

    def conv(self, kernel: int, stride: int = 1, dilation: int = 1) -> FrameGrid:
        """The grid after one more unpadded convolution or pooling layer."""
        more = self.stride * dilation * (kernel - 1)
        look_ahead = None if self.look_ahead is None else self.look_ahead + more // 2
        return FrameGrid(self.stride * stride, self.receptive_field + more, look_ahead)

    def num_frames(self, num_samples: int) -> int:
        """The number of frames in `num_samples` samples, counted from a grid point."""
        return max(0, (num_samples - self.receptive_field) // self.stride + 1)

    def num_samples(self, num_frames: int) -> int:
        """The number of samples that `num_frames` consecutive frames see."""
        return self.receptive_field + self.stride * (num_frames - 1) if num_frames > 0 else 0

    def first_frame(self, start_sample: int) -> int:
        """The first frame that sees nothing before `start_sample`."""
        return -(-start_sample // self.stride)

    def end_frame(self, end_sample: int) -> int:
        """One past the last frame that sees nothing from `end_sample` on (0 when there is none)."""
        return max(0, (end_sample - self.receptive_field) // self.stride + 1)

    @property
    def centre(self) -> int:
        """The distance from a frame's first sample to the middle of its sound."""
        return self.receptive_field // 2 if self.look_ahead is None else self.receptive_field - 1 - self.look_ahead

    def sound_start(self, frame: int) -> int:
        """The start of a frame's sound, which lasts one stride: half a stride before its middle."""
        return frame * self.stride + self.centre - self.stride // 2

    def centres(self, first: int, end: int) -> NDArray[np.int64]:
        """The middle (frames,) of the sound of each frame from `first` up to `end`."""
        return np.arange(first, end, dtype=np.int64) * self.stride + self.centre

    def seconds(self, frames: float) -> float:
        """The duration of this many frames, in seconds; if they are weighted by speech, of the speech."""
        return frames * self.stride / SAMPLE_RATE

    def frames_of(self, seconds: float) -> int:
        """The number of frames in this many seconds, at least 1."""
        return max(1, round(seconds * SAMPLE_RATE / self.stride))

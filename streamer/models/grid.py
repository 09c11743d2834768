"""The arithmetic of frames: which samples a frame sees, which frames a run of samples holds.

All positions are integers, in samples from the stream's start. Receptive field arithmetic after
Araujo, Norris & Sim (2019), https://distill.pub/2019/computing-receptive-fields/
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FrameGrid:
    """Frame i sees the samples [i * stride, i * stride + receptive_field).

    >>> grid = FrameGrid().conv(251, 10).conv(3, 3)
    >>> grid.stride, grid.receptive_field, grid.num_frames(48_000)
    (30, 271, 1591)
    """

    stride: int = 1
    receptive_field: int = 1

    def conv(self, kernel: int, stride: int = 1, dilation: int = 1) -> FrameGrid:
        """The grid after one more unpadded convolution or pooling layer."""
        return FrameGrid(self.stride * stride, self.receptive_field + self.stride * dilation * (kernel - 1))

    def num_frames(self, num_samples: int) -> int:
        """How many frames `num_samples` samples hold, counted from a grid point."""
        return max(0, (num_samples - self.receptive_field) // self.stride + 1)

    def num_samples(self, num_frames: int) -> int:
        """How many samples `num_frames` consecutive frames see."""
        return self.receptive_field + self.stride * (num_frames - 1) if num_frames > 0 else 0

    def first_frame(self, start_sample: int) -> int:
        """The first frame that sees nothing before `start_sample`."""
        return -(-start_sample // self.stride)

    def end_frame(self, end_sample: int) -> int:
        """One past the last frame that sees nothing from `end_sample` on (0 when there is none)."""
        return max(0, (end_sample - self.receptive_field) // self.stride + 1)

"""The hyper-parameters of a SincNet x-vector, as recorded in a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, ClassVar, Literal, get_args

from streamer.errors import WrongArchitecture
from streamer.models.description import from_values
from streamer.models.grid import FrameGrid

Front = Literal["rectified", "log"]
Norm = Literal["instance", "batch"]

#: Output channels, kernel size (frames) and dilation (frames) of the five TDNN layers (Snyder et al., 2018).
TDNN_LAYERS: tuple[tuple[int, int, int], ...] = ((512, 5, 1), (512, 3, 2), (512, 3, 3), (512, 1, 1), (1500, 1, 1))
SINC_FILTERS = 80
SINC_TAPS = 251
SINC_STRIDE = 10
SINCNET_CHANNELS = 60
SINCNET_TAPS = 5
POOL = 3


@dataclass(frozen=True, slots=True)
class Architecture:
    """The parameters that differ between SincNet x-vectors; `Architecture()` is that of pyannote/embedding.

    front: "rectified" takes the absolute value of each sinc filter's output, as SincNet does; "log" takes the log
        power of each quadrature pair (cos and sin filter of one band), and the next convolution's kernels sum to zero,
        so that a gain (an additive constant in the log domain) cancels exactly, with no statistic of the window.
    norm: "instance" normalises by the statistics of the whole window (pyannote); "batch" by fixed statistics, so that
        each frame depends on the samples of its receptive field alone and can be cached.
    dimension: length of the embedding.
    attention: the frames are weighted in the pooling by a learned scalar each.
    speech_head: the network also gives a speech logit for each frame.
    """

    family: ClassVar[str] = "sincnet"
    #: The unbiased standard deviation of the pooling needs two.
    minimum_frames: ClassVar[int] = 2

    front: Front = "rectified"
    norm: Norm = "instance"
    dimension: int = 512
    attention: bool = False
    speech_head: bool = False

    def __post_init__(self) -> None:
        for name, allowed in (("front", get_args(Front)), ("norm", get_args(Norm))):
            value = getattr(self, name)
            if value not in allowed:
                raise WrongArchitecture(f"{name}={value!r} is not known; use one of {', '.join(allowed)}.")
        if not 1 <= self.dimension <= 65536:
            raise WrongArchitecture(f"dimension={self.dimension} is out of range; use 1 to 65536.")

    @property
    def frame_local(self) -> bool:
        """Whether a frame depends on its receptive field alone, so that caching it is exact."""
        return self.norm == "batch"

    @property
    def grid(self) -> FrameGrid:
        """The grid of the pooled frames."""
        return _frame_grid()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Architecture:
        """Read what `to_dict` wrote. Raises WrongArchitecture on a field this version does not know."""
        return from_values(cls, values)


@cache
def _frame_grid() -> FrameGrid:
    grid = FrameGrid().conv(SINC_TAPS, SINC_STRIDE).conv(POOL, POOL)
    for _ in range(2):
        grid = grid.conv(SINCNET_TAPS).conv(POOL, POOL)
    for _, kernel, dilation in TDNN_LAYERS:
        grid = grid.conv(kernel, dilation=dilation)
    return grid

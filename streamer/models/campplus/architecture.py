"""The hyper-parameters of a CAM++, as recorded in a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, get_args

from streamer.audio.chunks import SAMPLE_RATE
from streamer.errors import WrongArchitecture
from streamer.models.description import from_values
from streamer.models.fbank import GRID as BAND_GRID
from streamer.models.grid import FrameGrid

HIGH_HZ = SAMPLE_RATE / 2
Context = Literal["window", "past"]

#: Layers, and frames between the taps, of the three dense blocks (Wang et al., 2023, table 1).
BLOCKS: tuple[tuple[int, int], ...] = ((12, 1), (24, 2), (16, 2))
#: Taps of the layers in these blocks with context "past"; in the third block, a tap on the past makes no difference.
PAST_TAPS: tuple[int, ...] = (2, 2, 1)
MAPS = 32
GROWTH = 32
INNER = 128
FIRST = 128
#: Frames between taps of the first layer on frames; it takes every other row of the filter bank.
FIRST_TAPS = 5
#: Convolutions over rows of the filter bank before that layer, with three taps each.
MAP_LAYERS = 10


@dataclass(frozen=True, slots=True)
class CamPlusPlusArchitecture:
    """`CamPlusPlusArchitecture()` is 3D-Speaker's network.

    context: "window", as published: rows minus their mean over the window, gates with the means of the window and of
        2 s of it, taps on both sides. "past": decaying means, and taps on the past, so that a frame waits for 0.13 s of
        later audio, and can be computed once for the whole stream.
    heard_hz: bands that reach beyond it are ignored, because a codec may have removed them.
    attention: the pooling weights each frame by a learned scalar.
    dimension: length of the embedding.
    overlap: the network also detects frames with more than one speaker, which count less in the pooling. Needs context
        "past".
    """

    family: ClassVar[str] = "campplus"
    speech_head: ClassVar[bool] = False
    minimum_frames: ClassVar[int] = 2

    context: Context = "window"
    heard_hz: float = HIGH_HZ
    attention: bool = False
    dimension: int = 192
    # Its weights say as much: models without them are known by what they were known by before.
    overlap: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        if self.context not in get_args(Context):
            raise WrongArchitecture(
                f"context={self.context!r} is not known; use one of {', '.join(get_args(Context))}."
            )
        if not 1000 <= self.heard_hz <= HIGH_HZ:
            raise WrongArchitecture(f"heard_hz={self.heard_hz} is out of range; use 1000 to {HIGH_HZ:.0f}.")
        if self.overlap and self.context != "past":
            raise WrongArchitecture("overlap=True needs context='past'; other networks cannot tell two voices apart.")
        if not 1 <= self.dimension <= 65536:
            raise WrongArchitecture(f"dimension={self.dimension} is out of range; use 1 to 65536.")

    @property
    def frame_local(self) -> bool:
        return self.context == "past"

    @property
    def row_lag(self) -> int:
        """The number of rows of the filter bank from the middle of a frame to the last row that it sees."""
        return MAP_LAYERS + FIRST_TAPS // 2

    @property
    def grid(self) -> FrameGrid:
        """A frame is every other row of the filter bank; with context "past", it waits for its look-ahead."""
        stride, own = 2 * BAND_GRID.stride, BAND_GRID.receptive_field
        if self.context == "window":
            return FrameGrid(stride, own)
        ahead = self.row_lag * BAND_GRID.stride
        return FrameGrid(stride, own + ahead, ahead + own // 2 - 1)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CamPlusPlusArchitecture:
        """Read what `to_dict` wrote. Raises WrongArchitecture on a field this version does not know."""
        return from_values(cls, values)

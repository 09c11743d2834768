"""CAM++ as published: rows of the filter bank are computed once; everything after them is recomputed for each
window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamer.audio.chunks import Samples
from streamer.engine.layers import to_device
from streamer.engine.recompute import WantedWindow, WindowStepper, WindowStream
from streamer.engine.settings import WindowSettings
from streamer.models.campplus.network import CamPlusPlus
from streamer.models.campplus.surroundings import WholeWindow
from streamer.models.fbank import BANDS
from streamer.models.fbank import GRID as BAND_GRID
from streamer.models.model import Model
from streamer.speech.detector import SpeechState


@dataclass(slots=True, kw_only=True)
class BandStream(WindowStream):
    """One stream's state.

    origin: a multiple of the stride of the filter bank's rows. rows (rows, 80): the last rows of the filter bank, up to
        `next_row`.
    tail: the samples from the start of row `next_row` on.
    """

    clock: ClassVar[tuple[str, ...]] = (*WindowStream.clock, "next_row")

    rows: Tensor
    next_row: int = 0
    tail: Samples = field(default_factory=lambda: np.zeros(0, np.float32))

    def restart(self, sample: int) -> None:
        WindowStream.restart(self, sample)
        self.next_row = BAND_GRID.first_frame(sample)
        self.origin = self.next_row * BAND_GRID.stride
        self.tail = np.zeros(0, np.float32)
        self.rows = self.rows[:0]

    def hear(self, samples: Samples) -> None:
        self.position, samples = self.position + len(samples), samples[max(0, self.origin - self.position) :]
        self.tail = np.concatenate([self.tail, samples])

    @property
    def ready_rows(self) -> int:
        return BAND_GRID.num_frames(len(self.tail))

    def take(self, rows: Tensor) -> None:
        """Keep rows that were computed from the tail."""
        self.rows = torch.cat([self.rows, rows])
        self.tail = self.tail[len(rows) * BAND_GRID.stride :].copy()
        self.next_row += len(rows)

    def forget(self, before_sample: int) -> None:
        kept = max(0, self.next_row - before_sample // BAND_GRID.stride)
        if kept < len(self.rows):
            self.rows = self.rows[len(self.rows) - kept :].clone()

    def kept(self) -> dict[str, NDArray[Any]]:
        return {"rows": self.rows.cpu().numpy(), "tail": self.tail}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        WindowStream.restore(self, snapshot)
        self.rows, self.tail = torch.from_numpy(snapshot["rows"]).to(self.rows.device), snapshot["tail"]
        if self.rows.shape[1:] != (BANDS,) or len(self.tail) != max(
            0, self.position - self.next_row * BAND_GRID.stride
        ):
            raise ValueError("its samples do not fit its clock")


class CamPlusPlusStepper(WindowStepper[BandStream]):
    """Keeps the streams' rows, and computes all windows of one length in one batch."""

    #: A window begins at a step boundary, and its first row must be among the kept ones.
    step_unit = BAND_GRID.stride

    def __init__(self, model: Model, network: CamPlusPlus) -> None:
        super().__init__(model)
        self.network = network

    def new(self, settings: WindowSettings, speech: SpeechState | None) -> BandStream:
        return BandStream(settings, self.grid, speech, rows=torch.zeros(0, BANDS, device=self.device))

    def advance(self, streams: Sequence[BandStream]) -> None:
        """Compute filter bank rows from the new samples."""
        counts = [stream.ready_rows for stream in streams]
        if longest := BAND_GRID.num_samples(max(counts, default=0)):
            waves = np.zeros((len(streams), longest), np.float32)
            for row, stream in enumerate(streams):
                used = min(len(stream.tail), longest)
                waves[row, :used] = stream.tail[:used]
            with torch.inference_mode():
                for stream, count, rows in zip(
                    streams, counts, self.network.bank(to_device(waves, self.device)), strict=True
                ):
                    stream.take(rows[:count])

    def length(self, wanted: WantedWindow[BandStream]) -> int:
        """The length in rows."""
        return wanted.stream.next_row - wanted.start // BAND_GRID.stride

    @torch.inference_mode()
    def embed(self, batch: list[WantedWindow[BandStream]], length: int) -> NDArray[np.float32]:
        rows = torch.stack([wanted.stream.rows[-length:] for wanted in batch], 1)
        block, _ = self.network.layers(rows, WholeWindow())
        frames = self.network.frames_of(block)
        weights = None
        if batch[0].stream.speech is not None:
            weights = to_device(np.stack([wanted.weights for wanted in batch]), self.device)
        return self.network.pool(frames, weights).cpu().numpy()

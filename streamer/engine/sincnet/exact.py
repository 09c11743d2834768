"""`exact` mode: every window is normalised by its own statistics, as pyannote's `Inference` does.

Only the raw sinc convolution can be kept from window to window: the norm of the waveform is affine, so it can be
applied after the convolution. Everything after that depends on the window and is recomputed, with the windows of all
streams in one batch.
"""

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
from streamer.engine.sincnet.instance import InstanceWeights, after_sinc
from streamer.engine.sincnet.layers import SincNetFrameLayers, rectified
from streamer.models.architecture import POOL, SINC_FILTERS, SINC_STRIDE, SINC_TAPS
from streamer.models.carry import NoCarry
from streamer.models.model import Model
from streamer.models.pooling import Moments
from streamer.models.sinc import POSITION_FIELD, POSITION_STRIDE
from streamer.models.xvector import sincnet_of
from streamer.speech.detector import SpeechState


@dataclass(slots=True, kw_only=True)
class ExactStream(WindowStream):
    """One stream's state.

    origin: a multiple of 10 samples, the stride of the sinc filters. tail: the samples from 10 * next_position on.
    sinc (positions, 80): the raw output of the filters at the positions [next_position - positions, next_position).
    waves (steps, 4) float64: for each step its number, and the count, mean and sum of squared deviations of its
    samples.
    """

    clock: ClassVar[tuple[str, ...]] = (*WindowStream.clock, "next_position")

    sinc: Tensor
    next_position: int = 0
    tail: Samples = field(default_factory=lambda: np.zeros(0, np.float32))
    waves: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 4)))

    def restart(self, sample: int) -> None:
        WindowStream.restart(self, sample)
        self.next_position = -(-sample // SINC_STRIDE)
        self.origin = self.next_position * SINC_STRIDE
        self.tail = np.zeros(0, np.float32)
        self.waves = np.zeros((0, 4))
        self.sinc = self.sinc[:0]

    def hear(self, samples: Samples) -> None:
        step = self.position // self.settings.step_samples
        self.position, samples = self.position + len(samples), samples[max(0, self.origin - self.position) :]
        self.tail = np.concatenate([self.tail, samples])
        if len(samples):
            wide = samples.astype(np.float64)
            row = np.array([[step, len(wide), wide.mean(), wide.var() * len(wide)]])
            self.waves = np.concatenate([self.waves, row])

    @property
    def ready_positions(self) -> int:
        return max(0, (len(self.tail) - SINC_TAPS) // SINC_STRIDE + 1)

    def wave_statistics(self, from_sample: int) -> tuple[float, float]:
        """Mean and biased variance of the samples from `from_sample` on, which is the start of a step."""
        rows = self.waves[self.waves[:, 0] >= from_sample // self.settings.step_samples]
        count = rows[:, 1].sum()
        mean = (rows[:, 1] * rows[:, 2]).sum() / count
        return mean, (rows[:, 3].sum() + (rows[:, 1] * (rows[:, 2] - mean) ** 2).sum()) / count

    def forget(self, before_sample: int) -> None:
        """Drop everything that is only needed by windows that begin before this sample."""
        kept = self.next_position - before_sample // SINC_STRIDE
        if kept < len(self.sinc):
            self.sinc = self.sinc[len(self.sinc) - max(kept, 0) :].clone()
        self.waves = self.waves[self.waves[:, 0] >= before_sample // self.settings.step_samples]

    def kept(self) -> dict[str, NDArray[Any]]:
        return {"sinc": self.sinc.cpu().numpy(), "tail": self.tail, "waves": self.waves}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        WindowStream.restore(self, snapshot)
        self.sinc = torch.from_numpy(snapshot["sinc"]).to(self.sinc.device)
        self.tail, self.waves = snapshot["tail"], snapshot["waves"]


class ExactStepper(WindowStepper[ExactStream]):
    """Keeps the streams' sinc convolutions, and recomputes the rest of each window."""

    #: A window begins at a step boundary, and its first position must be among the kept ones.
    step_unit = SINC_STRIDE

    def __init__(self, model: Model, layers: SincNetFrameLayers) -> None:
        super().__init__(model)
        sincnet = sincnet_of(model.network).sincnet
        self.layers = layers
        self.wave_norm = InstanceWeights.of(sincnet.wav_norm1d)
        self.norms = [InstanceWeights.of(norm).over_time for norm in sincnet.norm1d]

    def new(self, settings: WindowSettings, speech: SpeechState | None) -> ExactStream:
        return ExactStream(settings, self.grid, speech, sinc=torch.zeros(0, SINC_FILTERS, device=self.device))

    def advance(self, streams: Sequence[ExactStream]) -> None:
        """Apply the sinc filters to the new samples."""
        positions = [stream.ready_positions for stream in streams]
        groups = -(-max(positions, default=0) // POOL)
        if groups:
            waves = np.zeros((len(streams), (groups - 1) * POSITION_STRIDE + POSITION_FIELD), np.float32)
            for row, stream in enumerate(streams):
                used = min(len(stream.tail), waves.shape[1])
                waves[row, :used] = stream.tail[:used]
            with torch.inference_mode():
                filtered = self.layers.sinc.filtered(to_device(waves, self.device))
                by_stream = filtered.transpose(0, 1).reshape(len(streams), -1, SINC_FILTERS)
                for stream, count, rows in zip(streams, positions, by_stream, strict=True):
                    stream.sinc = torch.cat([stream.sinc, rows[:count]])
                    stream.tail = stream.tail[count * SINC_STRIDE :].copy()
                    stream.next_position += count

    def length(self, wanted: WantedWindow[ExactStream]) -> int:
        """The length in positions of the sinc filters' output."""
        return wanted.stream.next_position - wanted.start // SINC_STRIDE

    @torch.inference_mode()
    def embed(self, batch: list[WantedWindow[ExactStream]], length: int) -> NDArray[np.float32]:
        layers, groups = self.layers, length // POOL
        rows = torch.stack([wanted.stream.sinc[-length:][: groups * POOL] for wanted in batch])
        filtered = rows.view(len(batch), groups, POOL, SINC_FILTERS).transpose(0, 1)
        statistics = np.array([wanted.stream.wave_statistics(wanted.start) for wanted in batch], np.float32)
        mean, variance = to_device(statistics, self.device).unsqueeze(2).unbind(1)
        normalised = after_sinc(self.wave_norm.affine(mean, variance), layers.sinc.filters, filtered)
        seen = layers.normalised(rectified(normalised), NoCarry(), self.norms[0])
        block = layers.tdnn(layers.front(seen, NoCarry(), self.norms), NoCarry())
        frames = layers.last_norm(block.features).transpose(0, 1)
        weights = to_device(np.stack([wanted.weights for wanted in batch]), self.device)
        if block.attention is not None:
            weights = weights * block.attention.t()
        moments = Moments.of(frames, weights[..., None])
        on_host = (part.cpu().numpy() for part in (moments.weight, moments.weight2, moments.mean, moments.m2))
        return self.model.embed_batch(Moments(*on_host))

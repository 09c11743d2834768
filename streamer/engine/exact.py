"""`exact` mode: every window is normalised by its own statistics, as pyannote's `Inference` does.

Only the raw sinc convolution can be kept from window to window: the norm of the waveform is applied after it, being
affine. All that follows depends on the window and is computed again, all streams' windows in one batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamer.audio.chunks import SAMPLE_RATE, Samples
from streamer.engine.frames import FrameLayers, NoCarry, rectified
from streamer.engine.instance import InstanceWeights, after_sinc
from streamer.engine.layers import to_device
from streamer.engine.settings import WindowSettings
from streamer.engine.sinc import POSITION_FIELD, POSITION_STRIDE
from streamer.engine.state import Arrays
from streamer.engine.stepper import FRAME_CENTRE, NewFrames, reportable
from streamer.engine.window import Window
from streamer.models.architecture import FRAME_GRID, POOL, SINC_FILTERS, SINC_STRIDE, SINC_TAPS
from streamer.models.model import Model
from streamer.models.pooling import Moments
from streamer.speech.detector import SpeechState

#: Windows computed at once; each needs about 4 MB while it is.
BATCH = 32


@dataclass(slots=True)
class ExactStream:
    """One stream's state.

    origin: the first sample since the last restart, on the sinc filters' grid of 10 samples. tail: the samples from
    10 * next_position on. sinc (positions, 80): the raw filters' output at [next_position - positions, next_position).
    waves (steps, 4) float64: by step, its number, and count, mean and sum of squared deviations of its samples.
    """

    settings: WindowSettings
    sinc: Tensor
    speech: SpeechState | None
    position: int = 0
    origin: int = 0
    next_position: int = 0
    next_frame: int = 0
    tail: Samples = field(default_factory=lambda: np.zeros(0, np.float32))
    waves: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 4)))

    def restart(self, sample: int) -> None:
        self.position = sample
        self.next_position = -(-sample // SINC_STRIDE)
        self.origin = self.next_position * SINC_STRIDE
        self.next_frame = FRAME_GRID.first_frame(sample)
        self.tail = np.zeros(0, np.float32)
        self.waves = np.zeros((0, 4))
        self.sinc = self.sinc[:0]
        if self.speech:
            self.speech.skip(sample)

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
        """Mean and biased variance of the samples from a step's start on."""
        rows = self.waves[self.waves[:, 0] >= from_sample // self.settings.step_samples]
        count = rows[:, 1].sum()
        mean = (rows[:, 1] * rows[:, 2]).sum() / count
        return mean, (rows[:, 3].sum() + (rows[:, 1] * (rows[:, 2] - mean) ** 2).sum()) / count

    def forget(self, before_sample: int) -> None:
        """Drop what only windows need that begin before this sample."""
        kept = self.next_position - before_sample // SINC_STRIDE
        if kept < len(self.sinc):
            self.sinc = self.sinc[len(self.sinc) - max(kept, 0) :].clone()
        self.waves = self.waves[self.waves[:, 0] >= before_sample // self.settings.step_samples]

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self.arrays().values())

    def values(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("position", "origin", "next_position", "next_frame")}

    def arrays(self) -> dict[str, NDArray[Any]]:
        heard = self.speech.arrays() if self.speech else {}
        own = {"sinc": self.sinc.cpu().numpy(), "tail": self.tail, "waves": self.waves}
        return own | {f"speech.{name}": array for name, array in heard.items()}

    def restore(self, values: Mapping[str, Any], arrays: Arrays) -> None:
        for name in self.values():
            setattr(self, name, values[name])
        self.sinc = torch.from_numpy(arrays["sinc"]).to(self.sinc.device)
        self.tail, self.waves = arrays["tail"], arrays["waves"]
        if self.speech:
            self.speech.restore({name.removeprefix("speech."): array for name, array in arrays.items()})


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One window to compute: of which stream, from where, how long it should be."""

    place: int
    stream: ExactStream
    start: int
    duration_s: float
    partial: bool
    weights: NDArray[np.float32]

    @property
    def speech_s(self) -> float:
        return float(self.weights.mean()) * (self.stream.position - self.start) / SAMPLE_RATE


class ExactStepper:
    """Keeps the streams' sinc convolutions, and computes their windows anew."""

    def __init__(self, model: Model, layers: FrameLayers) -> None:
        sincnet = model.network.sincnet
        self.model = model
        self.layers = layers
        self.device = layers.device
        self.wave_norm = InstanceWeights.of(sincnet.wav_norm1d)
        self.norms = [InstanceWeights.of(norm).over_time for norm in sincnet.norm1d]

    def new(self, settings: WindowSettings, speech: SpeechState | None) -> ExactStream:
        return ExactStream(settings, torch.zeros(0, SINC_FILTERS, device=self.device), speech)

    def advance(self, streams: Sequence[ExactStream]) -> list[NewFrames]:
        """Take the new samples through the sinc filters."""
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
        return [self._new_frames(stream) for stream in streams]

    def _new_frames(self, stream: ExactStream) -> NewFrames:
        """The frames of the global grid that were completed: what the speech detector says of them."""
        first, end = stream.next_frame, max(stream.next_frame, FRAME_GRID.end_frame(stream.position))
        stream.next_frame = end
        centres = np.arange(first, end) * FRAME_GRID.stride + FRAME_CENTRE
        return NewFrames(first, stream.speech.at(centres) if stream.speech else np.ones(len(centres), np.float32), None)

    def windows(self, streams: Sequence[ExactStream]) -> list[list[Window]]:
        result: list[list[Window]] = [[] for _ in streams]
        by_length = defaultdict(list)
        for place, stream in enumerate(streams):
            for wanted in self._wanted(place, stream):
                by_length[stream.next_position - wanted.start // SINC_STRIDE].append(wanted)
        for positions, same_length in by_length.items():
            for first in range(0, len(same_length), BATCH):
                batch = same_length[first : first + BATCH]
                for wanted, embedding in zip(batch, self._embed(batch, positions), strict=True):
                    end, duration_s = wanted.stream.position, wanted.duration_s
                    window = Window(wanted.start, end, duration_s, embedding, wanted.speech_s, wanted.partial)
                    result[wanted.place].append(window)
        for stream in streams:
            # The longest window that ends with the next step.
            steps = -(-stream.position // stream.settings.step_samples) + 1 - stream.settings.counts[-1]
            stream.forget(max(stream.origin, steps * stream.settings.step_samples))
        return [sorted(windows, key=lambda window: window.duration_s) for windows in result]

    def _wanted(self, place: int, stream: ExactStream) -> list[_Wanted]:
        settings = stream.settings
        steps = -(-stream.position // settings.step_samples)
        wanted = []
        for count, duration_s in zip(settings.counts, settings.durations_s, strict=True):
            nominal = (steps - count) * settings.step_samples
            start = max(nominal, stream.origin)
            partial = start > nominal or stream.position % settings.step_samples != 0
            if stream.position - start < self.model.minimum_samples:
                continue
            frames = FRAME_GRID.num_frames(stream.position - start)
            centres = start + np.arange(frames) * FRAME_GRID.stride + FRAME_CENTRE
            weights = stream.speech.at(centres) if stream.speech else np.ones(frames, np.float32)
            window = _Wanted(place, stream, start, duration_s, partial, weights)
            if reportable(partial, window.speech_s, duration_s):
                wanted.append(window)
        return wanted

    @torch.inference_mode()
    def _embed(self, batch: list[_Wanted], positions: int) -> NDArray[np.float32]:
        """Embeddings (windows, dimension) of windows that all have as many positions after the sinc filters."""
        layers, groups = self.layers, positions // POOL
        rows = torch.stack([wanted.stream.sinc[-positions:][: groups * POOL] for wanted in batch])
        filtered = rows.view(len(batch), groups, POOL, SINC_FILTERS).transpose(0, 1)
        statistics = np.array([wanted.stream.wave_statistics(wanted.start) for wanted in batch], np.float32)
        mean, variance = to_device(statistics, self.device).unsqueeze(2).unbind(1)
        normalised = after_sinc(self.wave_norm.affine(mean, variance), layers.sinc.filters, filtered)
        block = layers.tdnn(layers.front(rectified(normalised), NoCarry(), self.norms), NoCarry())
        frames = layers.last_norm(block.features).transpose(0, 1)
        weights = to_device(np.stack([wanted.weights for wanted in batch]), self.device)
        if block.attention is not None:
            weights = weights * block.attention.t()
        moments = Moments.of(frames, weights[..., None])
        on_host = (part.cpu().numpy() for part in (moments.weight, moments.weight2, moments.mean, moments.m2))
        return self.model.embed_batch(Moments(*on_host))

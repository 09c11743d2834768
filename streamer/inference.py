"""Speaker embeddings of whole recordings, with the interface and the results of pyannote.audio 4's `Inference`.

Reference: pyannote.audio 4.0.7, `pyannote/audio/core/inference.py`. It differs on purpose: a whole file gives
(1, dimension), as pyannote's model card says; a device can be a string; a wrong input raises a typed error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from pyannote.core import Segment, SlidingWindow, SlidingWindowFeature
from torch import Tensor

from streamer.audio.files import AudioInput, crop, is_file, read_audio
from streamer.audio.stream_file import MonoFile
from streamer.errors import AudioTooShort, ConfigurationError
from streamer.models.model import Model, Source, resolve_device
from streamer.whole import WholePool

WindowKind = Literal["sliding", "whole"]
Embeddings = NDArray[np.float32]
Hook = Callable[..., Any]

#: Seconds that pyannote/embedding was trained on, the default if a checkpoint has none.
DEFAULT_DURATION_S = 3.0
#: The default step, as a share of the duration.
DEFAULT_STEP_RATIO = 0.1
BATCH_SIZE = 32


class Inference:
    """A model applied to recordings.

    model: a `Model`, or anything that `Model.from_pretrained` takes.
    window: "sliding" gives an embedding for each window of `duration` seconds, one each `step` seconds; "whole" gives
        one for all of the audio.
    duration: seconds; default: what the model was trained on, or 3 if it does not say.
    step: seconds, up to `duration`; default: a tenth of it.
    batch_size: windows that go through the network at once; more is faster and takes more memory.
    device: move the model there; default: leave it where it is.
    skip_aggregation, pre_aggregation_hook, skip_conversion: accepted for compatibility, and ignored. They concern
        models with an output for each frame; here each window has one embedding, so there is nothing to aggregate or
        convert.

    >>> inference = Inference(Model.from_pretrained("default"), window="whole")              # doctest: +SKIP
    >>> inference("speaker.wav").shape                                                       # doctest: +SKIP
    (1, 256)
    """

    def __init__(
        self,
        model: Model | Source,
        window: WindowKind = "sliding",
        duration: float | None = None,
        step: float | None = None,
        pre_aggregation_hook: Callable[[Embeddings], Embeddings] | None = None,
        skip_aggregation: bool = False,
        skip_conversion: bool = False,
        device: str | torch.device | None = None,
        batch_size: int = BATCH_SIZE,
        *,
        token: str | bool | None = None,
        use_auth_token: str | bool | None = None,
    ) -> None:
        if window not in get_args(WindowKind):
            raise ConfigurationError(f'window={window!r} is not known; use "sliding" or "whole".')
        if not isinstance(model, Model):
            model = Model.from_pretrained(model, token=token, use_auth_token=use_auth_token)
        self.model = model if device is None else model.to(device)
        self.window: WindowKind = window
        self.duration = _training_duration(model) if duration is None else duration
        self.step = DEFAULT_STEP_RATIO * self.duration if step is None else step
        self.pre_aggregation_hook = pre_aggregation_hook
        self.skip_aggregation = skip_aggregation
        self.skip_conversion = skip_conversion
        self.batch_size = batch_size
        self._check()

    def _check(self) -> None:
        for name, value in (("duration", self.duration), ("step", self.step)):
            if not (math.isfinite(value) and self._samples(value) > 0):
                raise ConfigurationError(f"{name}={value} s must be a positive number of seconds.")
        if self.step > self.duration:
            raise ConfigurationError(
                f"step={self.step:g} s is longer than duration={self.duration:g} s, which would leave gaps between the "
                f"windows; decrease step or increase duration."
            )
        minimum = self.model.minimum_samples
        if self.window == "sliding" and self._samples(self.duration) < minimum:
            raise ConfigurationError(
                f"duration={self.duration:g} s is too short; this model needs at least "
                f"{_seconds_up(minimum, self.model.sample_rate)} s ({minimum} samples)."
            )
        if not (isinstance(self.batch_size, int) and self.batch_size > 0):
            raise ConfigurationError(f"batch_size={self.batch_size} must be a whole number, at least 1.")

    @property
    def device(self) -> torch.device:
        return self.model.device

    def to(self, device: str | torch.device) -> Inference:
        """Move the model to `device` ("cpu", "cuda", "auto", a torch.device, ...). Raises ConfigurationError."""
        self.model.to(resolve_device(device))
        return self

    def __call__(
        self, file: AudioInput, hook: Hook | None = None, *, sample_rate: int | None = None
    ) -> Embeddings | SlidingWindowFeature:
        """Embed a recording.

        file: a path, a binary file object, {"waveform": (channel, time), "sample_rate": int}, {"audio": path}, or an
            array with `sample_rate`.
        hook: called with `completed=` and `total=` (numbers of windows) before the first batch and after each.

        Returns (1, dimension) float32 for window="whole", and for "sliding" a SlidingWindowFeature of (windows,
        dimension); its last window is padded with zeros if the audio ends inside it.

        A file is read block by block. For window="whole" it takes the same memory however long it is; but a model with
        window norms (pyannote's) normalises by all of the audio, and takes about 90 MB for each minute.
        Raises AudioError for audio that cannot be read or is too short, MemoryError if the device has too little
        memory.
        """
        return self.timed(file, hook, sample_rate=sample_rate)[0]

    def timed(
        self, file: AudioInput, hook: Hook | None = None, *, sample_rate: int | None = None
    ) -> tuple[Embeddings | SlidingWindowFeature, float]:
        """The result of `__call__`, and the length of the audio in seconds."""
        if not is_file(file) or sample_rate is not None:
            audio = read_audio(file, sample_rate)
            if self.window == "sliding":
                return self._slide(audio.mono_16k(), audio.name, 0.0, hook), audio.duration
            return self._whole(audio.mono_16k(), audio.name, hook), audio.duration
        with MonoFile(file) as mono:
            if self.window == "whole" and self.model.architecture.frame_local:
                return self._streamed(mono, hook), mono.duration
            samples = np.concatenate([*mono])
        if self.window == "sliding":
            return self._slide(samples, mono.name, 0.0, hook), mono.duration
        return self._whole(samples, mono.name, hook), mono.duration

    def crop(
        self,
        file: AudioInput,
        chunk: Segment | Iterable[Segment],
        hook: Hook | None = None,
        *,
        sample_rate: int | None = None,
    ) -> Embeddings | SlidingWindowFeature:
        """Embed a segment of a recording, or several.

        Several segments are joined end to end for window="whole"; for "sliding", the span that covers them is used.
        Returns the same as `__call__`; the windows' times count from the recording's start.
        Raises SegmentOutOfRange for a segment that is empty or not inside the audio, in addition to the errors of
        `__call__`.
        """
        audio = read_audio(file, sample_rate)
        segments = [chunk] if isinstance(chunk, Segment) else list(chunk)
        if not segments:
            raise ConfigurationError(f"no segment of {audio.name!r} was given; give at least one.")
        if self.window == "sliding":
            start, end = min(segment.start for segment in segments), max(segment.end for segment in segments)
            return self._slide(crop(audio, start, end).mono_16k(), audio.name, start, hook)
        parts = [crop(audio, segment.start, segment.end).mono_16k() for segment in segments]
        return self._whole(np.concatenate(parts), audio.name, hook)

    def _whole(self, samples: Embeddings, name: str, hook: Hook | None) -> Embeddings:
        self._check_length(len(samples), name)
        _call(hook, 0, 1)
        if self.model.architecture.frame_local:
            embedding = self._guarded(lambda: self._pooled([samples], name), 1)
        else:
            embedding = self._embed(torch.from_numpy(samples)[None, None])
        _call(hook, 1, 1)
        return embedding

    def _streamed(self, mono: MonoFile, hook: Hook | None) -> Embeddings:
        """One embedding of a file, computed while it is read."""
        _call(hook, 0, 1)
        embedding = self._guarded(lambda: self._pooled(mono, mono.name), 1)
        _call(hook, 1, 1)
        return embedding

    def _pooled(self, chunks: Iterable[Embeddings], name: str) -> Embeddings:
        pool = WholePool(self.model)
        for samples in chunks:
            pool.push(samples)
        self._check_length(pool.num_samples, name)
        return pool.finish()

    def _slide(self, samples: Embeddings, name: str, start: float, hook: Hook | None) -> SlidingWindowFeature:
        """Embed the windows of samples (n,) at 16 kHz; the first one starts at `start` seconds of the recording."""
        self._check_length(len(samples), name)
        windows, tail = cut(torch.from_numpy(samples), self._samples(self.duration), self._samples(self.step))
        total = len(windows) + len(tail)
        outputs = []
        _call(hook, 0, total)
        for first in range(0, len(windows), self.batch_size):
            batch = windows[first : first + self.batch_size]
            outputs.append(self._embed(batch[:, None]))
            _call(hook, first + len(batch), total)
        if len(tail):
            outputs.append(self._embed(tail[:, None]))
            _call(hook, total, total)
        times = SlidingWindow(start=start, duration=self.duration, step=self.step)
        return SlidingWindowFeature(np.concatenate(outputs), times)

    def _embed(self, waveforms: Tensor) -> Embeddings:
        """(batch, 1, samples) -> (batch, dimension)."""
        return self._guarded(lambda: self.model(waveforms).float().cpu().numpy(), len(waveforms))

    def _guarded(self, work: Callable[[], Embeddings], count: int) -> Embeddings:
        """The result of `work`, for `count` windows at once. Raises MemoryError if the device has too little."""
        try:
            return work()
        except RuntimeError as error:
            # CUDA and MPS use the first message, the CPU's allocator the second; only CUDA has a class for it.
            if "out of memory" not in str(error) and "can't allocate memory" not in str(error):
                raise
            raise MemoryError(
                f"{self.device} has too little memory for {count} window(s) at once "
                f"(batch_size={self.batch_size}); try a smaller batch_size, or a sliding window for long audio."
            ) from error

    def _check_length(self, count: int, name: str) -> None:
        minimum, rate = self.model.minimum_samples, self.model.sample_rate
        if count < minimum:
            raise AudioTooShort(
                f"{name!r} has {count / rate:.3f} s of audio; this model needs at least "
                f"{_seconds_up(minimum, rate)} s ({minimum} samples at {rate} Hz)."
            )

    def _samples(self, seconds: float) -> int:
        return round(seconds * self.model.sample_rate)


def cut(samples: Tensor, size: int, step: int) -> tuple[Tensor, Tensor]:
    """The windows of `samples` (n,), as in pyannote.audio: complete ones, and one for the remaining samples.

    Returns (windows, size) and (0 or 1, size), the latter padded with zeros; its samples begin where the next
    complete window would.
    """
    windows = samples.unfold(0, size, step) if len(samples) >= size else samples.new_empty(0, size)
    if len(windows) and (len(samples) - size) % step == 0:
        return windows, samples.new_empty(0, size)
    rest = samples[len(windows) * step :]
    return windows, torch.nn.functional.pad(rest, (0, size - len(rest)))[None]


def _training_duration(model: Model) -> float:
    value = model.card.details.get("training_duration_s", DEFAULT_DURATION_S)
    return float(value)


def _call(hook: Hook | None, completed: int, total: int) -> None:
    if hook is not None:
        hook(completed=completed, total=total)


def _seconds_up(samples: int, rate: int) -> str:
    """Seconds, rounded up, so that the length in a message is long enough."""
    return f"{math.ceil(samples * 1000 / rate) / 1000:.3f}"

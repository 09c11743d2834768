"""`exact` mode for any network: every window is recomputed, with windows of equal length from all streams in one batch.

A stream keeps the samples that its windows may still need. If a network can keep more than the raw samples, its family
provides a `WindowStepper` of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from streamer.audio.chunks import SAMPLE_RATE, Samples
from streamer.engine.heard import NOWHERE, HeardBatch
from streamer.engine.layers import to_device
from streamer.engine.settings import WindowSettings
from streamer.engine.stepper import StepTally, level_db, not_finite, reportable
from streamer.engine.window import Step, Window
from streamer.errors import StreamerError
from streamer.models.grid import FrameGrid
from streamer.models.model import Model
from streamer.speech.detector import SpeechState

#: The number of windows to compute at once; a SincNet x-vector needs about 4 MB for each during the computation.
BATCH = 32


@dataclass(slots=True)
class WindowStream(ABC):
    """The state of a stream whose windows are recomputed.

    origin: the first sample since the last restart that windows can use. next_frame: the first frame, on the stream's
    grid, whose speech has not been reported yet.
    """

    #: The fields that a snapshot stores as plain numbers.
    clock: ClassVar[tuple[str, ...]] = ("position", "origin", "next_frame")

    settings: WindowSettings
    grid: FrameGrid
    speech: SpeechState | None
    position: int = 0
    origin: int = 0
    next_frame: int = 0
    tally: StepTally = field(default_factory=lambda: StepTally(0, 0))

    def restart(self, sample: int) -> None:
        """Continue at a later sample, without any earlier audio."""
        self.position = self.origin = sample
        self.next_frame = self.grid.first_frame(sample)
        if self.speech:
            self.speech.skip(sample)
        if self.tally.heard == 0:
            self.tally = StepTally(sample, self.next_frame)

    @abstractmethod
    def hear(self, samples: Samples) -> None: ...

    @abstractmethod
    def forget(self, before_sample: int) -> None:
        """Drop everything that is only needed by windows that begin before this sample."""

    @abstractmethod
    def kept(self) -> dict[str, NDArray[Any]]:
        """The audio data that the stream keeps, by name."""

    @property
    def nbytes(self) -> int:
        kept = sum(array.nbytes for array in self.kept().values())
        return kept + self.tally.nbytes + (self.speech.nbytes if self.speech else 0)

    def snapshot(self) -> dict[str, Any]:
        clock = {name: getattr(self, name) for name in self.clock}
        speech = self.speech and self.speech.snapshot()
        return {**clock, "tally": self.tally.snapshot(), "speech": speech, **self.kept()}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        for name in self.clock:
            setattr(self, name, snapshot[name])
        self.tally = StepTally.restored(snapshot["tally"])
        if self.speech:
            self.speech.restore(snapshot["speech"])


S = TypeVar("S", bound=WindowStream)


@dataclass(frozen=True, slots=True)
class WantedWindow(Generic[S]):
    """One window to compute: its stream, start and nominal length; weights (frames,), one per frame."""

    place: int
    stream: S
    start: int
    duration_s: float
    partial: bool
    weights: NDArray[np.float32]

    @property
    def speech_s(self) -> float:
        return float(self.weights.mean()) * (self.stream.position - self.start) / SAMPLE_RATE


class WindowStepper(ABC, Generic[S]):
    """Finds the windows to compute; subclasses decide how to compute them."""

    step_unit = 1

    def __init__(self, model: Model) -> None:
        self.model = model
        self.grid = model.grid
        self.device = model.device

    @abstractmethod
    def new(self, settings: WindowSettings, speech: SpeechState | None) -> S: ...

    @abstractmethod
    def length(self, wanted: WantedWindow[S]) -> int:
        """A key for batching: windows of equal length share a batch."""

    @abstractmethod
    def embed(self, batch: list[WantedWindow[S]], length: int) -> NDArray[np.float32]:
        """Embeddings (windows, dimension) of windows of one length."""

    def positions(self, states: Sequence[S]) -> NDArray[np.int64]:
        return np.array([state.position for state in states], np.int64)

    def step(self, heard: HeardBatch, detected: bool) -> list[Step | StreamerError | None]:
        streams: list[S] = heard.states
        for stream, samples, energy in zip(streams, heard.samples, heard.energy.tolist(), strict=True):
            stream.tally.heard += len(samples)
            stream.tally.energy += energy
            stream.hear(samples)
        self.advance(streams)
        for stream in streams:
            self._tell(stream)
        complete = [
            stream
            for stream, ends in zip(streams, heard.ends.tolist(), strict=True)
            if stream.tally.heard > 0 and (ends or stream.position % stream.settings.step_samples == 0)
        ]
        windows = {id(stream): found for stream, found in zip(complete, self.windows(complete), strict=True)}
        outcomes = [
            self._step(stream, windows[id(stream)], detected) if id(stream) in windows else None for stream in streams
        ]
        for stream, skip_to in zip(streams, heard.skips.tolist(), strict=True):
            if skip_to != NOWHERE:
                stream.restart(skip_to)
        return outcomes

    def advance(self, streams: Sequence[S]) -> None:
        """Compute whatever new samples allow, except windows."""

    def _tell(self, stream: S) -> None:
        """Record the detector's speech probabilities for the newly completed frames of the grid."""
        first, end = stream.next_frame, max(stream.next_frame, self.grid.end_frame(stream.position))
        stream.next_frame = end
        stream.tally.add(first, self._speech(stream, self.grid.centres(first, end))[:, None])

    def _step(self, stream: S, windows: list[Window], detected: bool) -> Step | StreamerError:
        """Complete the current step; the next one begins."""
        if not all(np.isfinite(window.embedding).all() for window in windows):
            return not_finite(stream.position)
        tally, stream.tally = stream.tally, StepTally(stream.position, stream.next_frame)
        return Step(
            start_sample=tally.start_sample,
            end_sample=stream.position,
            windows=tuple(windows),
            grid=self.grid,
            first_frame=tally.first_frame,
            speech=np.concatenate([_NO_FRAMES, *tally.heads])[:, 0] if detected else None,
            block=None,
            level_db=float(level_db(np.array(tally.energy), np.array(tally.heard))),
            partial=stream.position % stream.settings.step_samples != 0,
        )

    def _speech(self, stream: S, centres: NDArray[np.int64]) -> NDArray[np.float32]:
        return stream.speech.at(centres) if stream.speech else np.ones(len(centres), np.float32)

    def windows(self, streams: Sequence[S]) -> list[list[Window]]:
        result: list[list[Window]] = [[] for _ in streams]
        by_length = defaultdict(list)
        for place, stream in enumerate(streams):
            for wanted in self._wanted(place, stream):
                by_length[self.length(wanted)].append(wanted)
        for length, same_length in by_length.items():
            for first in range(0, len(same_length), BATCH):
                batch = same_length[first : first + BATCH]
                for wanted, embedding in zip(batch, self.embed(batch, length), strict=True):
                    end, duration_s = wanted.stream.position, wanted.duration_s
                    window = Window(wanted.start, end, duration_s, embedding, wanted.speech_s, wanted.partial)
                    result[wanted.place].append(window)
        for stream in streams:
            # The longest window that ends with the next step.
            steps = -(-stream.position // stream.settings.step_samples) + 1 - stream.settings.counts[-1]
            stream.forget(max(stream.origin, steps * stream.settings.step_samples))
        return [sorted(windows, key=lambda window: window.duration_s) for windows in result]

    def _wanted(self, place: int, stream: S) -> list[WantedWindow[S]]:
        settings = stream.settings
        steps = -(-stream.position // settings.step_samples)
        found = []
        for count, duration_s in zip(settings.counts, settings.durations_s, strict=True):
            nominal = (steps - count) * settings.step_samples
            start = max(nominal, stream.origin)
            partial = start > nominal or stream.position % settings.step_samples != 0
            if stream.position - start < self.model.minimum_samples:
                continue
            centres = start + self.grid.centres(0, self.grid.num_frames(stream.position - start))
            window = WantedWindow(place, stream, start, duration_s, partial, self._speech(stream, centres))
            if reportable(np.array(partial), np.array(window.speech_s), np.array(duration_s)):
                found.append(window)
        return found


@dataclass(slots=True)
class RecomputedStream(WindowStream):
    """A stream that keeps raw samples: the last ones, up to `position`."""

    samples: Samples = field(default_factory=lambda: np.zeros(0, np.float32))

    def restart(self, sample: int) -> None:
        WindowStream.restart(self, sample)
        self.samples = self.samples[:0]

    def hear(self, samples: Samples) -> None:
        self.samples = np.concatenate([self.samples, samples])
        self.position += len(samples)

    def forget(self, before_sample: int) -> None:
        kept = max(0, self.position - before_sample)
        if kept < len(self.samples):
            self.samples = self.samples[len(self.samples) - kept :].copy()

    def kept(self) -> dict[str, NDArray[Any]]:
        return {"samples": self.samples}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        WindowStream.restore(self, snapshot)
        self.samples = snapshot["samples"]
        if len(self.samples) > self.position - self.origin:
            raise ValueError("its samples do not fit its clock")


class RecomputingStepper(WindowStepper[RecomputedStream]):
    """Passes whole windows of samples to the network, with the speech in each frame as its weight."""

    def new(self, settings: WindowSettings, speech: SpeechState | None) -> RecomputedStream:
        return RecomputedStream(settings, self.grid, speech)

    def length(self, wanted: WantedWindow[RecomputedStream]) -> int:
        return wanted.stream.position - wanted.start

    def embed(self, batch: list[WantedWindow[RecomputedStream]], length: int) -> NDArray[np.float32]:
        waves = to_device(np.stack([wanted.stream.samples[-length:] for wanted in batch])[:, None], self.device)
        weights = None
        if batch[0].stream.speech is not None:
            weights = to_device(np.stack([wanted.weights for wanted in batch]), self.device)
        with torch.inference_mode():
            return self.model(waves, weights).float().cpu().numpy()


#: For a model with one head.
_NO_FRAMES = np.zeros((0, 1), np.float32)
